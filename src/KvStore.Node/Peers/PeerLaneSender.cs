using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Faults;

namespace KvStore.Node.Peers;

/// <summary>
/// Keeps one outbound stream to one peer: connects, says hello, waits for the welcome, then writes what accumulates in the lane, one message in flight, until the stream breaks; then again.
/// </summary>
internal sealed class PeerLaneSender
{
    /// <summary>How long a frame that shall be overtaken waits for the one that does it.</summary>
    private static readonly TimeSpan ReorderWindow = TimeSpan.FromMilliseconds(10);

    private readonly PeerAddress _peer;
    private readonly Lane _kind;
    private readonly PeerLane _lane;
    private readonly PeerLinkContext _context;
    private readonly Reconnection _reconnection;
    private readonly CancellationTokenSource _stop = new();
    private readonly OutboundFrame _frame = new();
    private string _lastTrouble = "";
    private bool _stood;
    private long _swallowed;
    private long _framesSent;
    private long _bytesSent;

    public PeerLaneSender(PeerAddress peer, Lane kind, PeerLane lane, PeerLinkContext context)
    {
        _peer = peer;
        _kind = kind;
        _lane = lane;
        _context = context;
        _reconnection = new Reconnection(context.Options, unchecked((int)((context.Identity.Node.Value * 65_537) + (peer.Node.Value * 257) + (uint)kind)));
    }

    public long Swallowed => Volatile.Read(ref _swallowed);

    public long FramesSent => Volatile.Read(ref _framesSent);

    public long BytesSent => Volatile.Read(ref _bytesSent);

    public Task Completion { get; private set; } = Task.CompletedTask;

    public void Start() => Completion = Task.Run(RunAsync);

    public void ReconnectNow() => _reconnection.Hurry();

    public void Abort() => _stop.Cancel();

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await RunStreamAsync();
            }
            catch (Exception failure) when (failure is RpcException or OperationCanceledException or IOException or InvalidOperationException or TimeoutException)
            {
                Report(failure);
            }
            catch (Exception failure)
            {
                PeerLog.SenderFailed(_context.Log, failure, _peer.Node, _kind);
            }

            try
            {
                await _reconnection.PauseAsync(_stop.Token);
            }
            catch (OperationCanceledException)
            {
                break;
            }
        }
    }

    private async Task RunStreamAsync()
    {
        RefuseWhenCut();
        using GrpcChannel channel = PeerChannel.Open(_peer.Address, _context.Options);
        using CancellationTokenSource streamEnd = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        using AsyncDuplexStreamingCall<OutboundFrame, PeerWelcome> call =
            channel.CreateCallInvoker().AsyncDuplexStreamingCall(PeerMethods.SendFrames, null, new CallOptions(cancellationToken: streamEnd.Token));

        streamEnd.CancelAfter(_context.Options.ConnectTimeout);
        await GreetAsync(call);
        streamEnd.CancelAfter(Timeout.InfiniteTimeSpan);
        RefuseWhenCut();

        // The peer says nothing behind the welcome: the response ends when the stream does.
        Task watch = WatchAsync(call.ResponseStream, streamEnd);
        await using CancellationTokenRegistration wake = streamEnd.Token.Register(static lane => ((PeerLane)lane!).Wake(), _lane);
        _lane.Open();
        _reconnection.Reset();
        _lastTrouble = "";
        _stood = true;
        PeerLog.Connected(_context.Log, _peer.Node, _peer.Address, _kind);
        Announce(_context.Connected);
        try
        {
            await PumpAsync(call.RequestStream, streamEnd.Token);
        }
        finally
        {
            _lane.Release(_frame);
            _lane.Close();
            await streamEnd.CancelAsync();
            Announce(_context.Disconnected);
            await watch.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await watch;
    }

    private async Task GreetAsync(AsyncDuplexStreamingCall<OutboundFrame, PeerWelcome> call)
    {
        PeerFrame hello = new() { Hello = Handshake.Hello(_context.Identity, _peer.Node, _kind) };
        OutboundBuffer buffer = new();
        hello.WriteTo(buffer.Take(hello.CalculateSize()));
        OutboundFrame frame = new();
        frame.Add(buffer);
        try
        {
            await call.RequestStream.WriteAsync(frame);
        }
        catch (Exception failure) when (failure is InvalidOperationException or RpcException { StatusCode: StatusCode.OK })
        {
            // The peer has already answered with a refusal; reading it below says which.
        }

        if (!await call.ResponseStream.MoveNext(CancellationToken.None))
        {
            throw new IOException("the peer ended the stream instead of a welcome");
        }
    }

    private async Task PumpAsync(IClientStreamWriter<OutboundFrame> stream, CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            TimeSpan delay = TimeSpan.FromMilliseconds(_context.Faults.Of(_peer.Node).DelayMs);
            long now = _context.Time.GetTimestamp();
            long dueUntil = delay == TimeSpan.Zero ? long.MaxValue : now - (long)(delay.TotalSeconds * _context.Time.TimestampFrequency);
            if (_lane.TryTake(_frame, _context.Options.MaxFrameBytes, dueUntil, out long oldest))
            {
                await SendAsync(stream, _frame, end);
                _lane.Release(_frame);
            }
            else if (oldest != 0)
            {
                await Task.Delay(Remaining(delay, oldest, now), _context.Time, end);
            }
            else
            {
                await _lane.WaitAsync();
            }
        }
    }

    /// <summary>Not less than a millisecond: timers are no finer, and zero would spin.</summary>
    private TimeSpan Remaining(TimeSpan delay, long oldest, long now)
    {
        TimeSpan left = delay - _context.Time.GetElapsedTime(oldest, now);
        return left > TimeSpan.FromMilliseconds(1) ? left : TimeSpan.FromMilliseconds(1);
    }

    private async Task SendAsync(IClientStreamWriter<OutboundFrame> stream, OutboundFrame frame, CancellationToken end)
    {
        switch (_context.Faults.Draw(_peer.Node))
        {
            case FrameFate.Drop:
                Interlocked.Increment(ref _swallowed);
                break;
            case FrameFate.Duplicate:
                await WriteAsync(stream, frame);
                await WriteAsync(stream, frame);
                break;
            case FrameFate.Reorder:
                await OvertakeAsync(stream, frame, end);
                break;
            default:
                await WriteAsync(stream, frame);
                break;
        }
    }

    private async Task OvertakeAsync(IClientStreamWriter<OutboundFrame> stream, OutboundFrame held, CancellationToken end)
    {
        await Task.Delay(ReorderWindow, _context.Time, end);
        OutboundFrame next = new();
        if (_lane.TryTake(next, _context.Options.MaxFrameBytes, long.MaxValue, out _))
        {
            await WriteAsync(stream, next);
            _lane.Release(next);
        }

        await WriteAsync(stream, held);
    }

    private async Task WriteAsync(IClientStreamWriter<OutboundFrame> stream, OutboundFrame frame)
    {
        await stream.WriteAsync(frame);
        Interlocked.Increment(ref _framesSent);
        Interlocked.Add(ref _bytesSent, frame.Length);
    }

    private static async Task WatchAsync(IAsyncStreamReader<PeerWelcome> responses, CancellationTokenSource streamEnd)
    {
        try
        {
            while (await responses.MoveNext(CancellationToken.None))
            {
            }
        }
        finally
        {
            await streamEnd.CancelAsync();
        }
    }

    /// <summary>A cut link doesn't let new connections through either. An attempt over it fails as one over a black hole would, only sooner.</summary>
    private void RefuseWhenCut()
    {
        PeerFault fault = _context.Faults.Of(_peer.Node);
        if (fault.CutOutbound || fault.CutInbound)
        {
            throw new IOException("the link is cut by an injected fault");
        }
    }

    private void Announce(Action<NodeId> listener)
    {
        if (_kind == Lane.Frames)
        {
            listener(_peer.Node);
        }
    }

    /// <summary>Says each kind of trouble once, not at every attempt.</summary>
    private void Report(Exception failure)
    {
        if (_stop.IsCancellationRequested)
        {
            return;
        }

        string reason = failure switch
        {
            RpcException { StatusCode: StatusCode.FailedPrecondition } refused => refused.Status.Detail,
            RpcException rpc => $"{rpc.StatusCode}: {rpc.Status.Detail}",
            OperationCanceledException => $"no answer within {_context.Options.ConnectTimeout.TotalSeconds:0.#} s",
            _ => failure.Message,
        };
        if (failure is RpcException { StatusCode: StatusCode.FailedPrecondition })
        {
            _context.Identity.Doubt();
        }

        if (_stood)
        {
            _stood = false;
            PeerLog.Disconnected(_context.Log, _peer.Node, _peer.Address, _kind, reason);
            return;
        }

        if (reason == _lastTrouble)
        {
            return;
        }

        _lastTrouble = reason;
        if (failure is RpcException { StatusCode: StatusCode.FailedPrecondition })
        {
            PeerLog.Refused(_context.Log, _peer.Node, _peer.Address, reason);
        }
        else
        {
            PeerLog.Unreachable(_context.Log, _peer.Node, _peer.Address, _kind, reason);
        }
    }
}
