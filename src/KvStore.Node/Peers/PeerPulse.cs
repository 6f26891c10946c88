using KvStore.Core.Detection;
using Reachability = KvStore.Contracts.V1.Reachability;

namespace KvStore.Node.Peers;

/// <summary>
/// How alive a peer seems: the phi-accrual detector, and what it can't know: a peer that was never heard is suspect for a grace, and then down.
/// Times are <see cref="TimeProvider"/> milliseconds. Not thread-safe.
/// </summary>
internal sealed class PeerPulse
{
    private readonly PhiAccrualDetector _detector;
    private readonly double _graceUntilMs;
    private double _lastMs;
    private bool _graceOver;

    public PeerPulse(HeartbeatOptions options, double nowMs)
    {
        _lastMs = nowMs;
        _graceUntilMs = nowMs + options.StartGrace.TotalMilliseconds;
        _detector = new PhiAccrualDetector(new PhiAccrualOptions
        {
            FirstIntervalMs = options.Interval.TotalMilliseconds,

            // Timers and schedulers are not better than this; a smaller deviation would suspect every hiccup.
            MinStandardDeviationMs = Math.Max(options.Interval.TotalMilliseconds, 20),
            AcceptablePauseMs = options.AcceptablePause.TotalMilliseconds,
            SuspectPhi = options.SuspectPhi,
            DownPhi = options.DownPhi,
            HeartbeatsToRecover = options.RecoveryBeats,
        });
    }

    /// <summary>This node has only just begun to listen: silence says nothing yet.</summary>
    public bool InGrace => !_graceOver;

    public Reachability Reachability => _detector.State switch
    {
        Liveness.Up => Reachability.Up,
        Liveness.Suspect => Reachability.Suspect,
        Liveness.Down => Reachability.Down,
        _ => _graceOver ? Reachability.Down : Reachability.Suspect,
    };

    public double SinceHeardMs(double nowMs) => Math.Max(0, nowMs - _lastMs);

    public double Phi(double nowMs) => _detector.Phi((long)nowMs);

    public void Beat(double nowMs)
    {
        _lastMs = nowMs;
        _detector.OnHeartbeat((long)nowMs);
    }

    /// <summary>Judges the silence so far.</summary>
    public void Judge(double nowMs)
    {
        _graceOver = nowMs >= _graceUntilMs;
        _detector.Assess((long)nowMs);
    }
}
