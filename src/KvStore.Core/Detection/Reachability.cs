using KvStore.Core.Identity;

namespace KvStore.Core.Detection;

/// <summary>What this node knows of its link to another one, both ways.</summary>
public readonly record struct LinkState(Liveness Hearing, bool HeardByPeer)
{
    /// <summary>Both can speak to each other: the only kind of link that counts for decisions.</summary>
    public bool IsMutual => Hearing == Liveness.Up && HeardByPeer;
}

/// <summary>
/// Who can be reached, from heartbeats both ways. A one-way link looks healthy to the side that hears; so each heartbeat says whom its sender hears, and a link counts
/// only if this node hears the peer and the peer says, recently, that it hears this node.
/// </summary>
/// <param name="self">This node; it reaches itself.</param>
/// <param name="options">How silence is judged.</param>
/// <param name="claimLifetimeMs">How long a peer's claim to hear this node holds without being repeated. Milliseconds.</param>
public sealed class Reachability(NodeId self, PhiAccrualOptions options, long claimLifetimeMs)
{
    private readonly SortedDictionary<NodeId, Peer> _peers = [];

    /// <summary>All peers ever heard of, in the order of their ids.</summary>
    public IEnumerable<NodeId> Peers => _peers.Keys;

    /// <summary>A heartbeat has come. <paramref name="senderHearsUs"/>: what it says about this node's own heartbeats.</summary>
    public void OnHeartbeat(NodeId from, ulong bootId, bool senderHearsUs, long nowMs)
    {
        if (!_peers.TryGetValue(from, out Peer? peer))
        {
            peer = new Peer(new PhiAccrualDetector(options), bootId);
            _peers.Add(from, peer);
        }

        if (peer.BootId != bootId)
        {
            peer.BootId = bootId;
            peer.Detector.Reset();
            peer.HearsUsAtMs = null;
        }

        peer.Detector.OnHeartbeat(nowMs);
        peer.HearsUsAtMs = senderHearsUs ? nowMs : null;
    }

    /// <summary>The peer has left the cluster for good.</summary>
    public void Forget(NodeId peer) => _peers.Remove(peer);

    public LinkState LinkTo(NodeId peer, long nowMs)
    {
        if (peer == self)
        {
            return new LinkState(Liveness.Up, HeardByPeer: true);
        }

        if (!_peers.TryGetValue(peer, out Peer? known))
        {
            return default;
        }

        bool claimed = known.HearsUsAtMs is { } at && nowMs - at <= claimLifetimeMs;
        return new LinkState(known.Detector.Assess(nowMs), claimed);
    }

    /// <summary>Which life of the peer was heard last; zero if none was.</summary>
    public ulong BootOf(NodeId peer) => _peers.TryGetValue(peer, out Peer? known) ? known.BootId : 0;

    /// <summary>What this node's next heartbeat to the peer says: whether it hears the peer.</summary>
    public bool Hears(NodeId peer, long nowMs) => LinkTo(peer, nowMs).Hearing is Liveness.Up or Liveness.Suspect;

    /// <summary>How unusual the peer's silence is, for status pages.</summary>
    public double Phi(NodeId peer, long nowMs) => _peers.TryGetValue(peer, out Peer? known) ? known.Detector.Phi(nowMs) : 0;

    private sealed class Peer(PhiAccrualDetector detector, ulong bootId)
    {
        public PhiAccrualDetector Detector { get; } = detector;

        public ulong BootId { get; set; } = bootId;

        public long? HearsUsAtMs { get; set; }
    }
}
