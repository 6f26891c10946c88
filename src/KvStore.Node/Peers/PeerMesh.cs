using Grpc.Core;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Faults;

namespace KvStore.Node.Peers;

/// <summary>
/// The streams between this node and its peers: to each one for frames and one for bulk data, and those that the peers open to this node.
/// <code>
///   loop -> PeerOutbox (encodes, one buffer per peer and stream) -Flush-> PeerLane (bounded queue) -> PeerLaneSender (one write in flight) -> gRPC
///   gRPC -> PeerService -> InboundStreams (handshake, faults) -> the frame handler -> inboxes of the loops -> PeerFrameReader
/// </code>
/// </summary>
public sealed class PeerMesh : IPeerLaneDirectory, IAsyncDisposable
{
    private readonly PeerIdentity _self;
    private readonly PeerLinkContext _context;
    private readonly InboundStreams _inbound;
    private readonly LinkFaults _faults;
    private readonly ILogger _log;
    private readonly Lock _gate = new();
    private volatile PeerLinkTable _links = new([]);
    private bool _started;
    private bool _stopped;
    private long _strangersDropped;

    /// <param name="onFrame">Called for each received frame, on the task of its stream: it must return at once (post and go).</param>
    public PeerMesh(PeerIdentity self, Action<InboundFrame> onFrame, LinkFaults faults, PeerMeshOptions options, TimeProvider time, ILogger<PeerMesh> log)
    {
        _self = self;
        _faults = faults;
        _log = log;
        _context = new PeerLinkContext(self, options, new OutboundBufferPool(), faults, time, log, RaiseConnected, RaiseDisconnected);
        _inbound = new InboundStreams(self, options, faults, log, IsMember, onFrame, RaiseDisconnected);
        faults.Changed += ReconnectAll;
    }

    /// <summary>The outbound stream for frames to this peer stands. Raised on a pool thread: post and go.</summary>
    public event Action<NodeId>? PeerConnected;

    /// <summary>
    /// A stream for frames to or from this peer broke. What was forwarded to it and isn't answered may have happened: answer "unknown". Raised after the stream stopped admitting, on a pool thread.
    /// </summary>
    public event Action<NodeId>? PeerDisconnected;

    /// <summary>Messages for nodes that are no members.</summary>
    public long StrangersDropped => Volatile.Read(ref _strangersDropped);

    /// <summary>Frames received and delivered since the start.</summary>
    public long FramesReceived => _inbound.Frames;

    /// <summary>Received frames that an injected fault took.</summary>
    public long InboundSwallowed => _inbound.Swallowed;

    IReadOnlyList<PeerLanes> IPeerLaneDirectory.Lanes => _links.Lanes;

    /// <summary>One for each shard loop.</summary>
    public PeerOutbox CreateOutbox() => new(this, _context.Pool, _context.Options.MaxFrameBytes);

    /// <summary>Begins to connect. Before it, streams of peers are refused as UNAVAILABLE.</summary>
    public void Start()
    {
        lock (_gate)
        {
            _started = true;
            foreach (PeerLink link in _links.Links)
            {
                link.Start();
            }
        }
    }

    /// <summary>The members of the cluster, this node included or not. Links to the others are opened and closed accordingly; those that stay are not touched.</summary>
    public void UpdateMembers(IReadOnlyList<PeerAddress> members)
    {
        List<PeerLink> gone;
        lock (_gate)
        {
            if (_stopped)
            {
                return;
            }

            PeerLinkTable before = _links;
            List<PeerLink> next = [];
            foreach (PeerAddress member in members.Where(member => member.Node != _self.Node))
            {
                PeerLink? link = before.Find(member.Node);
                if (link is null || link.Peer != member)
                {
                    link = new PeerLink(member, _context);
                    if (_started)
                    {
                        link.Start();
                    }
                }

                next.Add(link);
            }

            _links = new PeerLinkTable(next);
            gone = [.. before.Links.Except(next)];
        }

        gone.ForEach(link => link.Abort());
        _inbound.DropStrangers();
    }

    /// <summary>Whether frames to this peer have a stream to leave on.</summary>
    public bool IsConnected(NodeId peer) => _links.Find(peer)?.Frames.IsOpen ?? false;

    /// <summary>The peer gives signs of life: don't wait for the end of the pause between attempts.</summary>
    public void ReconnectNow(NodeId peer) => _links.Find(peer)?.ReconnectNow();

    /// <summary>What was lost or waits on the way to a peer; default for a stranger.</summary>
    public PeerLinkCounters Counters(NodeId peer) => _links.Find(peer)?.Counters() ?? default;

    /// <summary>Ends all streams and waits until their tasks are done.</summary>
    public Task StopAsync()
    {
        Abort();
        return Task.WhenAll(_links.Links.Select(link => link.StopAsync()));
    }

    /// <summary>Ends all streams at once, as a kill would.</summary>
    public void Abort()
    {
        lock (_gate)
        {
            _stopped = true;
        }

        _faults.Changed -= ReconnectAll;
        _inbound.Stop();
        foreach (PeerLink link in _links.Links)
        {
            link.Abort();
        }
    }

    public async ValueTask DisposeAsync() => await StopAsync();

    internal Task AcceptAsync(IAsyncStreamReader<RawFrame> requests, IServerStreamWriter<PeerWelcome> responses, CancellationToken cancellation) =>
        _started && !_stopped
            ? _inbound.AcceptAsync(requests, responses, cancellation)
            : throw new RpcException(new Status(StatusCode.Unavailable, "The node is starting or stopping."));

    void IPeerLaneDirectory.CountStrangerDropped() => Interlocked.Increment(ref _strangersDropped);

    private bool IsMember(NodeId node) => _links.Find(node) is not null;

    private void ReconnectAll()
    {
        foreach (PeerLink link in _links.Links)
        {
            link.ReconnectNow();
        }
    }

    private void RaiseConnected(NodeId peer) => Raise(PeerConnected, peer);

    private void RaiseDisconnected(NodeId peer) => Raise(PeerDisconnected, peer);

    /// <summary>A listener that fails must not take the stream with it.</summary>
    private void Raise(Action<NodeId>? listener, NodeId peer)
    {
        try
        {
            listener?.Invoke(peer);
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            PeerLog.ListenerFailed(_log, failure, peer);
        }
    }
}
