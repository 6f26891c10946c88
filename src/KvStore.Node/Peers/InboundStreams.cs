using Grpc.Core;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Faults;

namespace KvStore.Node.Peers;

/// <summary>
/// The receiving side of the streams that peers open to this node: lets members in, delivers their frames, ends a stream whose bytes can't be trusted or that a newer one of the same peer replaces.
/// </summary>
internal sealed class InboundStreams(
    PeerIdentity self, PeerMeshOptions options, LinkFaults faults, ILogger log, Func<NodeId, bool> isMember, Action<InboundFrame> onFrame, Action<NodeId> onEnded)
{
    private readonly Lock _gate = new();
    private readonly Dictionary<(NodeId Peer, Lane Lane), CancellationTokenSource> _streams = [];
    private readonly CancellationTokenSource _stop = new();
    private long _frames;
    private long _swallowed;

    public long Frames => Volatile.Read(ref _frames);

    public long Swallowed => Volatile.Read(ref _swallowed);

    public void Stop() => _stop.Cancel();

    /// <summary>Ends the streams of nodes that are no members any more.</summary>
    public void DropStrangers()
    {
        List<CancellationTokenSource> strangers;
        lock (_gate)
        {
            strangers = [.. _streams.Where(stream => !isMember(stream.Key.Peer)).Select(stream => stream.Value)];
        }

        strangers.ForEach(End);
    }

    /// <summary>Ends the streams of one node: it must introduce itself anew.</summary>
    public void Drop(NodeId peer)
    {
        List<CancellationTokenSource> streams;
        lock (_gate)
        {
            streams = [.. _streams.Where(stream => stream.Key.Peer == peer).Select(stream => stream.Value)];
        }

        streams.ForEach(End);
    }

    public async Task AcceptAsync(IAsyncStreamReader<RawFrame> requests, IServerStreamWriter<PeerWelcome> responses, CancellationToken cancellation)
    {
        using CancellationTokenSource end = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _stop.Token);
        try
        {
            end.CancelAfter(options.ConnectTimeout);
            (NodeId peer, Lane lane, ulong incarnation) = await GreetedAsync(requests, end.Token);
            PeerFault fault = faults.Of(peer);
            if (fault.CutInbound || fault.CutOutbound)
            {
                // A black hole: the hello never came, or the welcome never leaves. The peer gives up at its own timeout.
                await SwallowAsync(requests, end.Token);
                return;
            }

            end.CancelAfter(Timeout.InfiniteTimeSpan);
            await ReceiveAsync(peer, lane, incarnation, requests, responses, end);
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
            throw new RpcException(new Status(StatusCode.Unavailable, "The stream was ended by the receiving node."));
        }
        catch (IOException)
        {
            // The peer is gone without a farewell; its own side reports that.
        }
    }

    private async Task<(NodeId Peer, Lane Lane, ulong Incarnation)> GreetedAsync(IAsyncStreamReader<RawFrame> requests, CancellationToken cancellation)
    {
        Hello? hello = null;
        if (await requests.MoveNext(cancellation))
        {
            try
            {
                hello = PeerFrame.Parser.ParseFrom(requests.Current.Bytes.Span).Hello;
            }
            catch (Google.Protobuf.InvalidProtocolBufferException)
            {
                // Then it isn't a Hello; Admit says so.
            }
        }

        try
        {
            return (Handshake.Admit(hello, self, isMember), hello!.Lane, hello.Incarnation);
        }
        catch (RpcException refusal)
        {
            PeerLog.RefusedStranger(log, refusal.Status.Detail);
            throw;
        }
    }

    private async Task ReceiveAsync(
        NodeId peer, Lane lane, ulong incarnation, IAsyncStreamReader<RawFrame> requests, IServerStreamWriter<PeerWelcome> responses, CancellationTokenSource end)
    {
        Replace((peer, lane), end);
        try
        {
            await responses.WriteAsync(new PeerWelcome { Node = self.Node.Value, Incarnation = self.Incarnation }, end.Token);
            PeerLog.Accepted(log, peer, lane, incarnation);
            Action<string> reset = Resetter(peer, lane, end);
            while (await requests.MoveNext(end.Token))
            {
                if (faults.CutsInbound(peer))
                {
                    Interlocked.Increment(ref _swallowed);
                    continue;
                }

                Interlocked.Increment(ref _frames);
                onFrame(new InboundFrame(peer, requests.Current.Bytes, reset));
            }
        }
        finally
        {
            if (Forget((peer, lane), end) && lane == Lane.Frames)
            {
                onEnded(peer);
            }
        }
    }

    private Action<string> Resetter(NodeId peer, Lane lane, CancellationTokenSource end) => reason =>
    {
        if (!end.IsCancellationRequested)
        {
            PeerLog.Reset(log, lane, peer, reason);
            End(end);
        }
    };

    /// <summary>Not on the caller's thread, which may be a loop's: ending a stream runs other people's continuations.</summary>
    private static void End(CancellationTokenSource stream)
    {
        try
        {
            _ = stream.CancelAsync();
        }
        catch (ObjectDisposedException)
        {
            // It has ended by itself.
        }
    }

    /// <summary>A peer has one stream per lane: its newest. An older one is what is left of a connection that the peer has given up.</summary>
    private void Replace((NodeId Peer, Lane Lane) key, CancellationTokenSource end)
    {
        CancellationTokenSource? older;
        lock (_gate)
        {
            _streams.Remove(key, out older);
            _streams[key] = end;
        }

        if (older is not null)
        {
            End(older);
        }
    }

    /// <summary>False when a newer stream has taken the place.</summary>
    private bool Forget((NodeId Peer, Lane Lane) key, CancellationTokenSource end)
    {
        lock (_gate)
        {
            return _streams.TryGetValue(key, out CancellationTokenSource? current) && ReferenceEquals(current, end) && _streams.Remove(key);
        }
    }

    private static async Task SwallowAsync(IAsyncStreamReader<RawFrame> requests, CancellationToken cancellation)
    {
        while (await requests.MoveNext(cancellation))
        {
        }
    }
}
