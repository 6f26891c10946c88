using KvStore.Contracts.V1;

namespace KvStore.Node.Peers;

/// <summary>
/// The offset of a peer's wall clock, out of what its heartbeats said. A heartbeat that was delayed on its way makes the peer's clock look late, never early; so of the last few the latest-looking one counts, as in NTP's clock
/// filter. A real step of either clock shows after as many beats at most. Not thread-safe.
/// </summary>
internal sealed class ClockOffset
{
    /// <summary>Beats that are looked at: 0.4 s of them with default settings, longer than a machine usually stalls.</summary>
    private const int Window = 8;

    private readonly double[] _samples = new double[Window];
    private int _count;

    /// <summary>The peer's clock minus this node's, in milliseconds; 0 until measured.</summary>
    public double Ms { get; private set; }

    public bool IsMeasured => _count > 0;

    /// <summary>A heartbeat arrived.</summary>
    /// <param name="theirWallMs">What it says, Unix milliseconds.</param>
    /// <param name="ownWallMs">This node's clock on arrival.</param>
    /// <param name="roundTripMs">As last estimated; zero if not known.</param>
    public void Add(double theirWallMs, double ownWallMs, double roundTripMs)
    {
        _samples[_count++ % Window] = theirWallMs + (roundTripMs / 2) - ownWallMs;
        Ms = _samples.AsSpan(0, Math.Min(_count, Window)).ToArray().Max();
    }

    /// <summary>
    /// How far this node's clock is ahead of the cluster's (negative: behind), in milliseconds: against the middle of all clocks that are heard, its own included. So one clock that is off does not make the others believe that they are.
    /// Where the clocks are halved and nobody can tell which half is right, both halves believe that they are wrong. Zero when nobody is heard.
    /// </summary>
    public static double OfThisNode(PeerView view)
    {
        List<double> clocks = [0, .. view.Peers.Where(peer => peer.Reachability == Reachability.Up && !double.IsNaN(peer.ClockSkewMs)).Select(peer => peer.ClockSkewMs)];
        clocks.Sort();
        double low = clocks[(clocks.Count - 1) / 2], high = clocks[clocks.Count / 2];
        return Math.Abs(low) > Math.Abs(high) ? -low : -high;
    }
}
