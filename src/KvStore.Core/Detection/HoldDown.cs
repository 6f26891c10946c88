namespace KvStore.Core.Detection;

/// <summary>
/// Damps a link that comes and goes, as routers do (RFC 2439). A loss is believed at once. A return is believed at once too while losses are rare; after several in a short while it is believed only when the link
/// has held for a time that doubles with each further loss, up to a bound, and shrinks again with calm. So a link that flaps for ever changes its reported state a few times and then stays down, and one
/// that is mended is up after the bound at the latest.
/// </summary>
internal struct HoldDown(ReachabilityOptions options)
{
    /// <summary>Beyond this many, further losses change nothing: the hold-down is at its bound.</summary>
    private const int MostLosses = 16;

    private int _losses;
    private bool _wasDown;
    private long _forgivenAtMs;
    private long _upSinceMs;

    /// <summary>Losses that are not forgiven yet.</summary>
    public readonly int Count => _losses;

    /// <summary>How much longer the link counts as down although it works.</summary>
    public long RemainingMs { get; private set; }

    /// <summary>Takes the state of the link as it looks now; returns whether it must be taken for down.</summary>
    public bool Holds(bool isDown, long nowMs)
    {
        if (isDown != _wasDown)
        {
            _wasDown = isDown;
            _forgivenAtMs = nowMs;
            _upSinceMs = nowMs;
            _losses = isDown ? Math.Min(_losses + 1, MostLosses) : _losses;
        }

        RemainingMs = isDown ? 0 : Math.Max(0, _upSinceMs + LengthMs - nowMs);

        // A hold-down runs to its end by the losses with which it began: forgiving begins after it.
        if (!isDown && RemainingMs == 0)
        {
            Forgive(nowMs);
        }

        return isDown || RemainingMs > 0;
    }

    private readonly long LengthMs
    {
        get
        {
            int beyond = _losses - options.FreeLosses;
            return beyond <= 0 ? 0 : Math.Min(options.MaxHoldDownMs, options.HoldDownMs << (beyond - 1));
        }
    }

    private void Forgive(long nowMs)
    {
        long calm = (nowMs - _forgivenAtMs) / options.ForgiveMs;
        _losses = (int)Math.Max(0, _losses - calm);
        _forgivenAtMs += calm * options.ForgiveMs;
    }
}
