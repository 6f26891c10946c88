using KvStore.Core.Identity;

namespace KvStore.Core.Detection;

/// <summary>What this node thinks of its link to another one, both ways.</summary>
/// <param name="Hearing">Of the way from the peer to here. Down too while a link that comes and goes is held down.</param>
/// <param name="HeardByPeer">Whether the peer, as last heard, hears this node.</param>
/// <param name="InGrace">This node has only just begun to listen: a lack of news says nothing yet.</param>
/// <param name="Losses">How often the peer was lost lately.</param>
/// <param name="HeldDownMs">How much longer the peer counts as down although it is heard.</param>
public readonly record struct LinkState(Liveness Hearing, bool HeardByPeer, bool InGrace, int Losses, long HeldDownMs)
{
    /// <summary>Whether the peer counts as reachable: heard, and hearing this node. A link that works one way serves nobody.</summary>
    public bool Counts => Hearing != Liveness.Down && (HeardByPeer || InGrace);
}

/// <summary>
/// Who can be reached, from heartbeats both ways. A one-way link looks healthy to the side that hears; so each heartbeat says whom its sender hears, and a link counts
/// only if this node hears the peer and the peer says that it hears this node.
/// </summary>
/// <remarks>
/// The node's heartbeat service and the simulator ask this and nothing else. It feeds routing, policy and status; never votes, quorums or leases.
/// What a heartbeat says of its receiver is <see cref="Hears"/>, this node's own hearing with its damping, never the whole relation: else two nodes would wait for each other's word for ever.
/// Per peer it costs about a kilobyte, and nothing is allocated after the first heartbeat. Not thread-safe.
/// </remarks>
public sealed class Reachability
{
    private readonly NodeId _self;
    private readonly ReachabilityOptions _options;
    private readonly Dictionary<NodeId, Peer> _peers = [];

    /// <param name="self">This node; it reaches itself.</param>
    /// <param name="options">The thresholds and times.</param>
    public Reachability(NodeId self, ReachabilityOptions options)
    {
        options.Validate();
        _self = self;
        _options = options;
    }

    /// <summary>From now on the peer is expected to be heard.</summary>
    public void Watch(NodeId peer, long nowMs)
    {
        if (peer != _self)
        {
            PeerOf(peer, nowMs);
        }
    }

    /// <summary>A heartbeat has come. <paramref name="boot"/>: another number after each restart of the sender. <paramref name="senderHearsUs"/>: what it says about this node's own heartbeats.</summary>
    public void OnHeartbeat(NodeId from, ulong boot, bool senderHearsUs, long nowMs)
    {
        Peer peer = PeerOf(from, nowMs);
        if (peer.Boot != boot)
        {
            peer.Boot = boot;
            peer.Detector.ForgetRhythm();
        }

        peer.Detector.OnHeartbeat(nowMs);
        peer.HearsUs = senderHearsUs;
    }

    /// <summary>The peer has left the cluster for good.</summary>
    public void Forget(NodeId peer) => _peers.Remove(peer);

    public LinkState LinkTo(NodeId peer, long nowMs)
    {
        if (peer == _self)
        {
            return new LinkState(Liveness.Up, HeardByPeer: true, InGrace: false, Losses: 0, HeldDownMs: 0);
        }

        if (!_peers.TryGetValue(peer, out Peer? known))
        {
            return default;
        }

        bool inGrace = nowMs - known.WatchedSinceMs < _options.StartGraceMs;
        Liveness hearing = known.Detector.Assess(nowMs);
        bool isDown = hearing == Liveness.Down || (hearing == Liveness.Unknown && !inGrace);
        bool isLate = isDown || hearing == Liveness.Suspect;
        if (known.Doubts.Holds(isLate, nowMs) && hearing == Liveness.Up)
        {
            hearing = Liveness.Suspect;
        }

        bool held = known.Losses.Holds(isDown, nowMs);
        return new LinkState(held ? Liveness.Down : hearing, known.HearsUs && !isDown, inGrace, known.Losses.Count, known.Losses.RemainingMs);
    }

    /// <summary>Which life of the peer was heard last; zero if none was.</summary>
    public ulong BootOf(NodeId peer) => _peers.TryGetValue(peer, out Peer? known) ? known.Boot : 0;

    /// <summary>What this node's next heartbeat to the peer says: whether it hears the peer.</summary>
    public bool Hears(NodeId peer, long nowMs) => LinkTo(peer, nowMs).Hearing is Liveness.Up or Liveness.Suspect;

    /// <summary>How unusual the peer's silence is, for status pages.</summary>
    public double Phi(NodeId peer, long nowMs) => _peers.TryGetValue(peer, out Peer? known) ? known.Detector.Phi(nowMs) : 0;

    private Peer PeerOf(NodeId node, long nowMs)
    {
        if (!_peers.TryGetValue(node, out Peer? peer))
        {
            peer = new Peer(_options, nowMs);
            _peers.Add(node, peer);
        }

        return peer;
    }

    private sealed class Peer(ReachabilityOptions options, long nowMs)
    {
        public HoldDown Losses = new(options);

        /// <summary>The same for suspicion, so that a link which is late now and then doesn't change its state with each heartbeat.</summary>
        public HoldDown Doubts = new(options);

        public PhiAccrualDetector Detector { get; } = new(options.Phi);

        public long WatchedSinceMs { get; } = nowMs;

        public ulong Boot { get; set; }

        public bool HearsUs { get; set; }
    }
}
