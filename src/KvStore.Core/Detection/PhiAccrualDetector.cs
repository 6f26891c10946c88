namespace KvStore.Core.Detection;

public enum Liveness : byte
{
    /// <summary>Nothing was heard yet.</summary>
    Unknown = 0,
    Up = 1,

    /// <summary>Unusually late. Not yet a reason to act, but one to prefer others.</summary>
    Suspect = 2,
    Down = 3,
}

/// <summary>Tuning of a <see cref="PhiAccrualDetector"/>. All times in milliseconds.</summary>
public sealed record PhiAccrualOptions
{
    public static readonly PhiAccrualOptions Default = new();

    /// <summary>How many of the last intervals are remembered. 2 or more.</summary>
    public int WindowSize { get; init; } = 100;

    /// <summary>What is assumed of the intervals before any was seen. More than 0.</summary>
    public double FirstIntervalMs { get; init; } = 500;

    /// <summary>A very regular sender would be suspected for the smallest hiccup; the spread is never taken for less than this. More than 0.</summary>
    public double MinStandardDeviationMs { get; init; } = 50;

    /// <summary>A pause (garbage collection, a stolen processor) that is always forgiven, on top of the usual interval. 0 or more.</summary>
    public double AcceptablePauseMs { get; init; } = 200;

    /// <summary>At this phi a node becomes suspect; 3 means that one in a thousand such waits is innocent.</summary>
    public double SuspectPhi { get; init; } = 3;

    /// <summary>At this phi a node counts as down; above <see cref="SuspectPhi"/>.</summary>
    public double DownPhi { get; init; } = 8;

    /// <summary>A node that was suspect or down is up again only after this many heartbeats in a row, each in time. 1 or more.</summary>
    public int HeartbeatsToRecover { get; init; } = 3;

    /// <summary>For a sender of heartbeats at a steady pace.</summary>
    public static PhiAccrualOptions For(double intervalMs) => new()
    {
        FirstIntervalMs = intervalMs,

        // Timers and schedulers are not better than this; a smaller deviation would suspect every hiccup.
        MinStandardDeviationMs = Math.Max(intervalMs, 20),
    };

    internal void Validate()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(WindowSize, 2);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(FirstIntervalMs);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MinStandardDeviationMs);
        ArgumentOutOfRangeException.ThrowIfNegative(AcceptablePauseMs);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(SuspectPhi);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(DownPhi, SuspectPhi);
        ArgumentOutOfRangeException.ThrowIfLessThan(HeartbeatsToRecover, 1);
    }
}

/// <summary>
/// Suspects a node by how unusual its silence is (Hayashibara et al., "The phi accrual failure detector", SRDS 2004).
/// </summary>
/// <remarks>
/// A fixed timeout is right for one network and one load. Instead, the intervals between heartbeats are taken for a normal distribution, and phi says how improbable it is that
/// a heartbeat comes even later than now: phi 1 is wrong one time in ten, phi 2 one in a hundred. What follows from a value is the thresholds' affair, with hysteresis: getting worse
/// is immediate, getting better takes several heartbeats in time, so that a link at the edge doesn't make everybody change their minds with each packet.
/// Time is an argument: milliseconds of any monotonic clock. A time that goes back counts as no time passed.
/// </remarks>
public sealed class PhiAccrualDetector
{
    private readonly PhiAccrualOptions _options;
    private readonly double[] _intervals;
    private int _count;
    private int _next;
    private double _sum;
    private double _sumOfSquares;
    private long _lastMs;
    private int _inTime;

    public PhiAccrualDetector(PhiAccrualOptions options)
    {
        options.Validate();
        _options = options;
        _intervals = new double[options.WindowSize];

        AssumeFirstIntervals();
    }

    /// <summary>What was decided at the last heartbeat or <see cref="Assess"/>.</summary>
    public Liveness State { get; private set; }

    /// <summary>A heartbeat has arrived.</summary>
    public void OnHeartbeat(long nowMs)
    {
        if (State == Liveness.Unknown)
        {
            _lastMs = nowMs;
            State = Liveness.Up;
            return;
        }

        Assess(nowMs);
        double interval = Math.Max(0, nowMs - _lastMs);
        bool late = PhiAfter(interval) >= _options.SuspectPhi;
        _lastMs = Math.Max(_lastMs, nowMs);
        if (late)
        {
            // The length of an outage says little about how regular the node is when it is there; but a node that now speaks less often must be believed in the end.
            Remember(Math.Min(interval, 2 * Mean));
            _inTime = 0;
            return;
        }

        Remember(interval);
        _inTime++;
        if (State != Liveness.Up && _inTime >= _options.HeartbeatsToRecover)
        {
            State = Liveness.Up;
        }
    }

    /// <summary>Forgets what was learned of the intervals: the node has restarted, its rhythm may be another one. What is thought of it stays, until its heartbeats change that.</summary>
    public void ForgetRhythm()
    {
        _count = 0;
        _next = 0;
        _sum = 0;
        _sumOfSquares = 0;
        AssumeFirstIntervals();
    }

    /// <summary>How unusual the silence is now. 0 before the first heartbeat.</summary>
    public double Phi(long nowMs) => State == Liveness.Unknown ? 0 : PhiAfter(Math.Max(0, nowMs - _lastMs));

    /// <summary>Decides anew. Gets worse at once, never better: that takes heartbeats.</summary>
    public Liveness Assess(long nowMs)
    {
        if (State == Liveness.Unknown)
        {
            return State;
        }

        double phi = Phi(nowMs);
        if (phi >= _options.DownPhi)
        {
            State = Liveness.Down;
            _inTime = 0;
        }
        else if (phi >= _options.SuspectPhi)
        {
            State = State == Liveness.Down ? Liveness.Down : Liveness.Suspect;
            _inTime = 0;
        }

        return State;
    }

    private double Mean => _sum / _count;

    private double PhiAfter(double silenceMs)
    {
        double mean = Mean + _options.AcceptablePauseMs;
        double variance = Math.Max(0, (_sumOfSquares / _count) - (Mean * Mean));
        double deviation = Math.Max(Math.Sqrt(variance), _options.MinStandardDeviationMs);

        // The logistic approximation of the normal distribution's tail, as in Akka's detector: good to 1.4e-4, and no error function needed.
        double y = (silenceMs - mean) / deviation;
        double exponent = -y * (1.5976 + (0.070566 * y * y));
        if (exponent < -700)
        {
            return double.MaxValue;
        }

        double e = Math.Exp(exponent);
        return silenceMs > mean ? -Math.Log10(e / (1 + e)) : -Math.Log10(1 - (1 / (1 + e)));
    }

    /// <summary>Two invented intervals around the expected one: a plausible mean, and a spread that is generous until something is known.</summary>
    private void AssumeFirstIntervals()
    {
        Remember(_options.FirstIntervalMs * 0.75);
        Remember(_options.FirstIntervalMs * 1.25);
    }

    private void Remember(double interval)
    {
        if (_count == _intervals.Length)
        {
            double oldest = _intervals[_next];
            _sum -= oldest;
            _sumOfSquares -= oldest * oldest;
        }
        else
        {
            _count++;
        }

        _intervals[_next] = interval;
        _next = (_next + 1) % _intervals.Length;
        _sum += interval;
        _sumOfSquares += interval * interval;
    }
}
