using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// Who is known to hold whose dots durably, and so which dots everyone has. Too low only delays garbage; too high is found out, because a dot without a mapping is answered with
/// a full copy and never passed over.
/// </summary>
internal sealed class Watermarks
{
    private readonly List<Peer> _peers = [];

    public int PeerCount => _peers.Count;

    /// <summary>What every configured peer held durably when it last said so.</summary>
    public ShardClock Everywhere { get; set; } = new();

    public NodeId PeerAt(int index) => _peers[index].Node;

    public ShardClock ClockAt(int index) => _peers[index].Durable;

    /// <summary>Keeps what is known of peers that stay; newcomers enter at zero.</summary>
    public void SetPeers(IReadOnlyList<NodeId> peers)
    {
        List<Peer> next = [];
        foreach (NodeId node in peers.Order())
        {
            next.Add(_peers.Find(peer => peer.Node == node) ?? new Peer(node));
        }

        _peers.Clear();
        _peers.AddRange(next);
    }

    public bool TryGet(NodeId node, out ShardClock durable)
    {
        Peer? peer = _peers.Find(candidate => candidate.Node == node);
        durable = peer?.Durable ?? new ShardClock();
        return peer is not null;
    }

    /// <summary>Replaces what is known of a peer: it may have lost what it had.</summary>
    public void Set(NodeId node, ShardClock durable)
    {
        if (_peers.Find(candidate => candidate.Node == node) is { } peer)
        {
            peer.Durable = durable;
        }
    }

    public ShardClock ComputeEverywhere()
    {
        if (_peers.Count == 0)
        {
            return new ShardClock();
        }

        ShardClock common = _peers[0].Durable.Clone();
        for (int i = 1; i < _peers.Count; i++)
        {
            common = ShardClock.Intersect(common, _peers[i].Durable);
        }

        return common;
    }

    /// <summary>The counter up to which every peer holds all dots of the actor.</summary>
    public ulong BaseEverywhere(ActorId actor)
    {
        ulong lowest = ulong.MaxValue;
        foreach (Peer peer in _peers)
        {
            lowest = Math.Min(lowest, peer.Durable.BaseOf(actor));
        }

        return _peers.Count == 0 ? 0 : lowest;
    }

    private sealed class Peer(NodeId node)
    {
        public NodeId Node { get; } = node;

        public ShardClock Durable { get; set; } = new();
    }
}
