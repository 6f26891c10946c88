using KvStore.Core.Identity;

namespace KvStore.Node.Peers;

/// <summary>The two queues to one peer: all that an outbox sees of a link. Who empties them, and whether there is a socket behind, is the link's affair.</summary>
internal sealed class PeerLanes(NodeId node, PeerLane frames, PeerLane bulk)
{
    private long _oversized;

    public NodeId Node { get; } = node;

    public PeerLane Frames { get; } = frames;

    public PeerLane Bulk { get; } = bulk;

    /// <summary>Messages longer than a frame may be.</summary>
    public long Oversized => Volatile.Read(ref _oversized);

    public void CountOversized() => Interlocked.Increment(ref _oversized);
}

/// <summary>Where outboxes leave what they have encoded: the mesh of streams in a node, simulated links in the simulator. Any thread.</summary>
internal interface IPeerLaneDirectory
{
    /// <summary>The peers of the moment. Another list whenever they change, the same one as long as they don't.</summary>
    IReadOnlyList<PeerLanes> Lanes { get; }

    /// <summary>A message was for a node that is no member.</summary>
    void CountStrangerDropped();
}
