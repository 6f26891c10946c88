using KvStore.Contracts.V1;

namespace KvStore.Node.Peers;

/// <summary>
/// How alive a peer seems, from the arrival times of its heartbeats: phi accrual (Hayashibara et al., SRDS 2004) over a normal distribution of intervals, with hysteresis on the way back.
/// Times are <see cref="TimeProvider"/> milliseconds. Not thread-safe.
/// </summary>
internal sealed class PeerPulse
{
    private const int Window = 128;

    private readonly HeartbeatOptions _options;
    private readonly double[] _intervals = new double[Window];
    private readonly double _minDeviation;
    private int _samples;
    private double _sum;
    private double _squares;
    private double _lastMs;
    private double _graceUntilMs;
    private int _steady;

    public PeerPulse(HeartbeatOptions options, double nowMs)
    {
        _options = options;
        _lastMs = nowMs;
        _graceUntilMs = nowMs + options.StartGrace.TotalMilliseconds;

        // Timers and schedulers are not better than this; a smaller deviation would suspect every hiccup.
        _minDeviation = Math.Max(options.Interval.TotalMilliseconds, 20);
        Record(options.Interval.TotalMilliseconds);
    }

    /// <summary>Suspect until the first heartbeats came: nothing is known.</summary>
    public Reachability Reachability { get; private set; } = Reachability.Suspect;

    public double SinceHeardMs(double nowMs) => Math.Max(0, nowMs - _lastMs);

    public double Phi(double nowMs)
    {
        double mean = (_sum / Count) + _options.AcceptablePause.TotalMilliseconds;
        double variance = (_squares / Count) - (_sum / Count * (_sum / Count));
        double deviation = Math.Max(Math.Sqrt(Math.Max(variance, 0)), _minDeviation);
        double y = (SinceHeardMs(nowMs) - mean) / deviation;

        // Logistic approximation of the normal distribution's tail; beyond its range the exponent itself.
        double exponent = y * (1.5976 + (0.070566 * y * y));
        return exponent > 700 ? exponent / Math.Log(10) : Math.Log10(1 + Math.Exp(exponent));
    }

    public void Beat(double nowMs)
    {
        bool steady = Phi(nowMs) < _options.SuspectPhi;
        if (steady)
        {
            Record(nowMs - _lastMs);
        }

        _lastMs = nowMs;
        _graceUntilMs = 0;
        _steady = steady ? _steady + 1 : 1;
        if (Reachability != Reachability.Up && (_steady >= _options.RecoveryBeats || Reachability == Reachability.Suspect))
        {
            Reachability = Reachability.Up;
        }
    }

    /// <summary>Judges the silence so far.</summary>
    public void Judge(double nowMs)
    {
        if (nowMs < _graceUntilMs)
        {
            return;
        }

        double phi = Phi(nowMs);
        if (phi >= _options.DownPhi)
        {
            Reachability = Reachability.Down;
            _steady = 0;
        }
        else if (phi >= _options.SuspectPhi && Reachability == Reachability.Up)
        {
            Reachability = Reachability.Suspect;
        }
    }

    private int Count => Math.Min(_samples, Window);

    private void Record(double interval)
    {
        ref double slot = ref _intervals[_samples % Window];
        if (_samples >= Window)
        {
            _sum -= slot;
            _squares -= slot * slot;
        }

        slot = interval;
        _sum += interval;
        _squares += interval * interval;
        _samples++;
    }
}
