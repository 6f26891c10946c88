using System.Collections.Frozen;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;

namespace KvStore.Node.Peers;

/// <summary>What was lost or waits on the way to one peer; for status and metrics.</summary>
/// <param name="DroppedBuffers">Buffers (what one step of one loop had to say) that found the queue full or the stream down.</param>
/// <param name="Oversized">Messages longer than a frame may be.</param>
/// <param name="Swallowed">Frames that an injected fault took.</param>
public readonly record struct PeerLinkCounters(
    bool FramesConnected, bool BulkConnected, long QueuedBytes, long DroppedBuffers, long DroppedBytes, long Oversized, long Swallowed, long FramesSent, long BytesSent, long BulkBytesSent);

/// <summary>The two outbound streams to one peer.</summary>
internal sealed class PeerLink
{
    private readonly PeerLaneSender _frameSender;
    private readonly PeerLaneSender _bulkSender;

    public PeerLink(PeerAddress peer, PeerLinkContext context)
    {
        Peer = peer;
        Lanes = new PeerLanes(
            peer.Node,
            new PeerLane(context.Options.FrameQueueBytes, context.Pool, context.Time),
            new PeerLane(context.Options.BulkQueueBytes, context.Pool, context.Time));
        _frameSender = new PeerLaneSender(peer, Lane.Frames, Frames, context);
        _bulkSender = new PeerLaneSender(peer, Lane.Bulk, Bulk, context);
    }

    public PeerAddress Peer { get; }

    public PeerLanes Lanes { get; }

    public PeerLane Frames => Lanes.Frames;

    public PeerLane Bulk => Lanes.Bulk;

    public PeerLinkCounters Counters() => new(
        Frames.IsOpen,
        Bulk.IsOpen,
        Frames.QueuedBytes + Bulk.QueuedBytes,
        Frames.DroppedBuffers + Bulk.DroppedBuffers,
        Frames.DroppedBytes + Bulk.DroppedBytes,
        Lanes.Oversized,
        _frameSender.Swallowed + _bulkSender.Swallowed,
        _frameSender.FramesSent + _bulkSender.FramesSent,
        _frameSender.BytesSent + _bulkSender.BytesSent,
        _bulkSender.BytesSent);

    public void Start()
    {
        _frameSender.Start();
        _bulkSender.Start();
    }

    public void ReconnectNow()
    {
        _frameSender.ReconnectNow();
        _bulkSender.ReconnectNow();
    }

    /// <summary>Breaks both streams and doesn't wait for the tasks behind them.</summary>
    public void Abort()
    {
        _frameSender.Abort();
        _bulkSender.Abort();
    }

    public Task StopAsync()
    {
        Abort();
        return Task.WhenAll(_frameSender.Completion, _bulkSender.Completion);
    }
}

/// <summary>The links of the moment: replaced whole when the members change.</summary>
internal sealed class PeerLinkTable(IEnumerable<PeerLink> links)
{
    private readonly FrozenDictionary<NodeId, PeerLink> _byNode = links.ToFrozenDictionary(link => link.Peer.Node);

    public IReadOnlyList<PeerLink> Links => _byNode.Values;

    public IReadOnlyList<PeerLanes> Lanes { get; } = [.. links.Select(link => link.Lanes)];

    public PeerLink? Find(NodeId node) => _byNode.GetValueOrDefault(node);
}

/// <summary>What all links of a mesh share.</summary>
internal sealed record PeerLinkContext(
    PeerIdentity Identity, PeerMeshOptions Options, OutboundBufferPool Pool, Faults.LinkFaults Faults, TimeProvider Time, ILogger Log, Action<NodeId> Connected, Action<NodeId> Disconnected);
