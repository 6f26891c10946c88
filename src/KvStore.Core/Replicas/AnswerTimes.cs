using System.Numerics;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// How long the peers of a shard take to answer, and the order in which it is best to ask them: those that can be reached and have a whole copy first, then by measured time. Peers about as fast as each other take turns.
/// </summary>
internal sealed class AnswerTimes(ReplicaPlaces places, PeerReachability peers, ReplicaClock clock, Func<NodeId, bool> isWhole)
{
    /// <summary>A new measurement counts for one part in four.</summary>
    private const double Weight = 0.25;

    /// <summary>Differences below this many milliseconds are the noise of loops and clocks.</summary>
    private const double NoiseMs = 4;

    /// <summary>A question that has not been answered for so long is lost; the next one is measured.</summary>
    private const long LostAfterMs = 1_000;

    private const int NotWhole = 1 << 20;
    private const int NotReachable = 1 << 21;

    /// <summary>Past every rank and turn.</summary>
    private const int Turns = 1 << 10;

    private readonly Dictionary<NodeId, Peer> _peers = [];

    /// <summary>The peer's smoothed time in milliseconds; zero for one that was never asked.</summary>
    public double SmoothedMs(NodeId peer) => _peers.GetValueOrDefault(peer)?.SmoothedMs ?? 0;

    /// <summary>The best to ask first. Peers that are equally good begin with another one for each number.</summary>
    public NodeId[] InOrder(ulong number)
    {
        NodeId[] order = [.. places.Peers];
        Span<int> ranks = order.Length <= 16 ? stackalloc int[order.Length] : new int[order.Length];
        for (int i = 0; i < order.Length; i++)
        {
            int turn = (int)(((ulong)i + number) % (ulong)order.Length);
            int slow = BitOperations.Log2((uint)Math.Min(SmoothedMs(order[i]) / NoiseMs, 1_000_000) + 1);
            ranks[i] = (peers.IsReachable(order[i]) ? 0 : NotReachable) + (isWhole(order[i]) ? 0 : NotWhole) + (slow * Turns) + turn;
        }

        MemoryExtensions.Sort(ranks, order.AsSpan());
        return order;
    }

    /// <summary>A peer is asked. One question at a time is measured.</summary>
    public void OnAsked(NodeId peer, ulong number)
    {
        if (!_peers.TryGetValue(peer, out Peer? known))
        {
            known = new Peer();
            _peers.Add(peer, known);
        }

        if (known.Measured == 0 || clock.NowMs - known.AskedMs > LostAfterMs)
        {
            known.Measured = number;
            known.AskedMs = clock.NowMs;
        }
    }

    /// <summary>It has answered, in time or not.</summary>
    public void OnAnswer(NodeId peer, ulong number)
    {
        if (_peers.TryGetValue(peer, out Peer? known) && known.Measured == number)
        {
            known.SmoothedMs += Weight * (clock.NowMs - known.AskedMs - known.SmoothedMs);
            known.Measured = 0;
        }
    }

    /// <summary>It has not answered for so long that others are asked in its place.</summary>
    public void OnLate(NodeId peer, long waitedMs)
    {
        if (_peers.TryGetValue(peer, out Peer? known))
        {
            known.SmoothedMs = Math.Max(known.SmoothedMs, waitedMs);
        }
    }

    private sealed class Peer
    {
        public double SmoothedMs { get; set; }

        /// <summary>The question that is measured; zero: none is.</summary>
        public ulong Measured { get; set; }

        public long AskedMs { get; set; }
    }
}
