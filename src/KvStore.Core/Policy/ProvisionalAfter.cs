namespace KvStore.Core.Policy;

/// <summary>
/// Adaptive keyspaces: after how long without contact to a leader a replica serves provisionally. Set when the keyspace is created or altered: that is the consent which a minority can't obtain when it needs it.
/// </summary>
/// <param name="Ms">In milliseconds, <see cref="LeastMs"/> to <see cref="MostMs"/>.</param>
public readonly record struct ProvisionalAfter(int Ms)
{
    public static readonly ProvisionalAfter Default = new(2_000);

    /// <summary>An election takes up to a second when a leader dies: shorter would mean provisional answers with every failover.</summary>
    public const int LeastMs = 1_000;

    public const int MostMs = 3_600_000;

    /// <summary>What is wrong with it, or null.</summary>
    public string? Fault => Ms is < LeastMs or > MostMs ? $"A provisional-after of {Ms} ms is out of bounds: give {LeastMs} to {MostMs} ms." : null;
}
