namespace KvStore.Core.Detection;

/// <summary>Tuning of a <see cref="Reachability"/>. All times in milliseconds.</summary>
public sealed record ReachabilityOptions
{
    public static readonly ReachabilityOptions Default = new();

    /// <summary>How silence is judged.</summary>
    public PhiAccrualOptions Phi { get; init; } = PhiAccrualOptions.Default;

    /// <summary>This long nothing is concluded from a lack of news: the peer may still be starting, or connecting, and has not heard this node either. 0 or more.</summary>
    public long StartGraceMs { get; init; } = 2_000;

    /// <summary>A peer that is lost for the <see cref="FreeLosses"/> + 1st time within a short while is down until it was heard in time for this long; each further loss doubles it. More than 0.</summary>
    public long HoldDownMs { get; init; } = 500;

    /// <summary>The longest hold-down. At least <see cref="HoldDownMs"/>.</summary>
    public long MaxHoldDownMs { get; init; } = 4_000;

    /// <summary>So many losses are followed by no hold-down: a restart, or one cut and its heal, ends as soon as it ends. 0 or more.</summary>
    public int FreeLosses { get; init; } = 2;

    /// <summary>One loss is forgotten for each such time without another. More than 0.</summary>
    public long ForgiveMs { get; init; } = 5_000;

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(StartGraceMs);
        ArgumentOutOfRangeException.ThrowIfLessThan(HoldDownMs, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxHoldDownMs, HoldDownMs);
        ArgumentOutOfRangeException.ThrowIfNegative(FreeLosses);
        ArgumentOutOfRangeException.ThrowIfLessThan(ForgiveMs, 1);
    }
}
