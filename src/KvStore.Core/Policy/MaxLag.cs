namespace KvStore.Core.Policy;

/// <summary>
/// How far the early acknowledgements of an async or best-effort leader may run ahead of the commit: what a failover can take at most. Past either bound writes are acknowledged when they are
/// committed, as in a sync keyspace; none is refused because of it.
/// </summary>
/// <param name="Bytes">Log bytes that are acknowledged and not committed, 1 to <see cref="MostBytes"/>. A write that is larger than the whole bound is never acknowledged early.</param>
/// <param name="TimeMs">How long the oldest of them may wait for its commit before no other is acknowledged early, in milliseconds, 1 to <see cref="MostTimeMs"/>.</param>
public readonly record struct MaxLag(int Bytes, int TimeMs)
{
    public static readonly MaxLag Default = new(1_048_576, 1_000);

    /// <summary>A leader takes no more uncommitted bytes than this anyway.</summary>
    public const int MostBytes = 32 * 1_048_576;

    public const int MostTimeMs = 60_000;

    /// <summary>What is wrong with the bounds, or null.</summary>
    public string? Fault => Bytes is < 1 or > MostBytes || TimeMs is < 1 or > MostTimeMs
        ? $"The max-lag of {Bytes} bytes and {TimeMs} ms is out of bounds: give 1 to {MostBytes} bytes and 1 to {MostTimeMs} ms."
        : null;
}
