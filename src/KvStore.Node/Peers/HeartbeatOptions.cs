using KvStore.Core.Detection;

namespace KvStore.Node.Peers;

public sealed record HeartbeatOptions
{
    /// <summary>How often every peer is told that this node lives.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>A silence this much longer than usual is not held against a peer: a garbage collection, a busy machine.</summary>
    public TimeSpan AcceptablePause { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>A peer that was never heard is suspect this long before it is down: it may still be starting, or connecting.</summary>
    public TimeSpan StartGrace { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>From this suspicion on a peer is suspect.</summary>
    public double SuspectPhi { get; init; } = 3;

    /// <summary>From this suspicion on a peer is down.</summary>
    public double DownPhi { get; init; } = 8;

    /// <summary>A peer that was down is up again after this many heartbeats in a row without becoming suspect between them.</summary>
    public int RecoveryBeats { get; init; } = 3;

    /// <summary>The longest that a peer which comes and goes is held down after it is heard again.</summary>
    public TimeSpan MaxHoldDown { get; init; } = TimeSpan.FromMilliseconds(ReachabilityOptions.Default.MaxHoldDownMs);

    internal ReachabilityOptions ToReachability() => ReachabilityOptions.Default with
    {
        StartGraceMs = (long)StartGrace.TotalMilliseconds,
        HoldDownMs = Math.Min(ReachabilityOptions.Default.HoldDownMs, (long)MaxHoldDown.TotalMilliseconds),
        MaxHoldDownMs = (long)MaxHoldDown.TotalMilliseconds,
        Phi = PhiAccrualOptions.For(Interval.TotalMilliseconds) with
        {
            AcceptablePauseMs = AcceptablePause.TotalMilliseconds,
            SuspectPhi = SuspectPhi,
            DownPhi = DownPhi,
            HeartbeatsToRecover = RecoveryBeats,
        },
    };
}
