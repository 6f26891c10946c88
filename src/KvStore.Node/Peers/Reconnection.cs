namespace KvStore.Node.Peers;

/// <summary>
/// The pauses between attempts to connect to one peer: doubling, capped, with jitter of a quarter either way, and cut short when there is reason to believe that the peer is back.
/// </summary>
internal sealed class Reconnection(PeerMeshOptions options, int seed)
{
    private readonly SemaphoreSlim _now = new(0, 1);
    private readonly Random _jitter = new(seed);
    private TimeSpan _next = options.MinBackoff;

    /// <summary>A connection stood: begin anew with the shortest pause.</summary>
    public void Reset() => _next = options.MinBackoff;

    /// <summary>Ends the present pause. Any thread.</summary>
    public void Hurry()
    {
        if (_now.CurrentCount == 0)
        {
            try
            {
                _now.Release();
            }
            catch (SemaphoreFullException)
            {
                // Two threads hurried at once: one of them is enough.
            }
        }
    }

    public async Task PauseAsync(CancellationToken cancellation)
    {
        TimeSpan pause = _next * (0.75 + (_jitter.NextDouble() / 2));
        _next = TimeSpan.FromTicks(Math.Min(_next.Ticks * 2, options.MaxBackoff.Ticks));
        if (await _now.WaitAsync(pause, cancellation))
        {
            _next = options.MinBackoff;
        }
    }
}
