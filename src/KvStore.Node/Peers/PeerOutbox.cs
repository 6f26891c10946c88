using KvStore.Contracts.Pipeline;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Peers;

/// <summary>
/// What one shard loop says to the peers. Every send encodes at once into a buffer per peer and stream; <see cref="Flush"/>, at the end of each step of the loop, hands the buffers over. Not thread-safe:
/// all calls come from the loop. Messages to nodes that aren't members, or aren't connected, are dropped and counted.
/// </summary>
public sealed class PeerOutbox : IPeerTransport
{
    private readonly IPeerLaneDirectory _directory;
    private readonly OutboundBufferPool _pool;
    private readonly int _maxFrameBytes;
    private readonly List<Pending> _dirty = [];
    private Dictionary<NodeId, Pending> _peers = [];
    private IReadOnlyList<PeerLanes> _known;

    internal PeerOutbox(IPeerLaneDirectory directory, OutboundBufferPool pool, int maxFrameBytes)
    {
        _directory = directory;
        _pool = pool;
        _maxFrameBytes = maxFrameBytes;
        _known = directory.Lanes;
        Rebuild(_known);
    }

    /// <summary>Goes with every message of a shard that is sent from now on. The loop sets it before it steps a replica.</summary>
    public Epoch Epoch { get; set; }

    public void Send(ShardId shard, NodeId to, in RaftMessage message)
    {
        if (TryFind(to, out Pending? peer))
        {
            OutboundBuffer buffer = Open(peer, ref peer.Frames);
            Settle(peer, ref peer.Frames, peer.Lanes.Frames, PeerFrameCodec.TryAppend(buffer, shard, Epoch.Value, message));
        }
    }

    public void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload)
    {
        if (!TryFind(to, out Pending? peer))
        {
            return;
        }

        if (kind is DottedMessageKind.PullPage or DottedMessageKind.HandIn or DottedMessageKind.EpisodePage)
        {
            OutboundBuffer bulk = Open(peer, ref peer.Bulk);
            Settle(peer, ref peer.Bulk, peer.Lanes.Bulk, PeerFrameCodec.TryAppend(bulk, shard, Epoch.Value, kind, payload));
            return;
        }

        OutboundBuffer buffer = Open(peer, ref peer.Frames);
        Settle(peer, ref peer.Frames, peer.Lanes.Frames, PeerFrameCodec.TryAppend(buffer, shard, Epoch.Value, kind, payload));
    }

    public void Send(ShardId shard, NodeId to, in SnapshotPage page)
    {
        if (TryFind(to, out Pending? peer))
        {
            OutboundBuffer buffer = Open(peer, ref peer.Bulk);
            Settle(peer, ref peer.Bulk, peer.Lanes.Bulk, PeerFrameCodec.TryAppend(buffer, shard, Epoch.Value, page));
        }
    }

    /// <summary>
    /// Forwards an operation. False: it did not leave and never will (not connected, or the queue is full). True: either it is written to the stream, or
    /// <see cref="PeerMesh.PeerDisconnected"/> is raised for the peer afterwards, and the outcome is unknown.
    /// </summary>
    public bool SendOperation(NodeId to, ulong forwardId, in WireOperation operation)
    {
        if (!TryFind(to, out Pending? peer) || !peer.Lanes.Frames.Admits(peer.Frames?.Length ?? 0))
        {
            return false;
        }

        OutboundBuffer buffer = Open(peer, ref peer.Frames);
        bool fits = PeerFrameCodec.TryAppend(buffer, forwardId, operation);
        buffer.HoldsAdmitted |= fits;
        Settle(peer, ref peer.Frames, peer.Lanes.Frames, fits);
        return fits;
    }

    /// <summary>Answers a forwarded operation. A result that can't be queued is lost; the forwarding node then answers its caller "unknown" at the deadline.</summary>
    public bool SendResult(NodeId to, ulong forwardId, in WireResult result)
    {
        if (!TryFind(to, out Pending? peer) || !peer.Lanes.Frames.Admits(peer.Frames?.Length ?? 0))
        {
            return false;
        }

        OutboundBuffer buffer = Open(peer, ref peer.Frames);
        bool fits = PeerFrameCodec.TryAppend(buffer, forwardId, result);
        Settle(peer, ref peer.Frames, peer.Lanes.Frames, fits);
        return fits;
    }

    /// <summary>Hands over to the senders what accumulated since the last call.</summary>
    public void Flush()
    {
        foreach (Pending peer in _dirty)
        {
            HandOver(ref peer.Frames, peer.Lanes.Frames);
            HandOver(ref peer.Bulk, peer.Lanes.Bulk);
            peer.Dirty = false;
        }

        _dirty.Clear();
    }

    private static void HandOver(ref OutboundBuffer? buffer, PeerLane lane)
    {
        if (buffer is { Length: > 0 } full)
        {
            buffer = null;
            lane.Enqueue(full);
        }
    }

    private OutboundBuffer Open(Pending peer, ref OutboundBuffer? buffer)
    {
        if (!peer.Dirty)
        {
            peer.Dirty = true;
            _dirty.Add(peer);
        }

        return buffer ??= _pool.Rent();
    }

    private void Settle(Pending peer, ref OutboundBuffer? buffer, PeerLane lane, bool written)
    {
        if (!written)
        {
            peer.Lanes.CountOversized();
        }
        else if (buffer!.Length >= _maxFrameBytes)
        {
            HandOver(ref buffer, lane);
        }
    }

    private bool TryFind(NodeId to, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Pending? peer)
    {
        IReadOnlyList<PeerLanes> lanes = _directory.Lanes;
        if (!ReferenceEquals(lanes, _known))
        {
            Rebuild(lanes);
        }

        if (_peers.TryGetValue(to, out peer))
        {
            return true;
        }

        _directory.CountStrangerDropped();
        return false;
    }

    /// <summary>The members changed. What waits for links that stay, stays; buffers for links that are gone are handed to their closed lanes, which drop and count them.</summary>
    private void Rebuild(IReadOnlyList<PeerLanes> members)
    {
        Flush();
        Dictionary<NodeId, Pending> peers = [];
        foreach (PeerLanes lanes in members)
        {
            peers[lanes.Node] = new Pending(lanes);
        }

        _peers = peers;
        _known = members;
    }

    private sealed class Pending(PeerLanes lanes)
    {
        public readonly PeerLanes Lanes = lanes;
        public OutboundBuffer? Frames;
        public OutboundBuffer? Bulk;
        public bool Dirty;
    }
}
