using System.Net;
using System.Security.Cryptography;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Detection;
using KvStore.Node.Faults;
using Reachability = KvStore.Core.Detection.Reachability;

namespace KvStore.Node.Peers;

/// <summary>What all heartbeat connections of a node share.</summary>
internal sealed record HeartbeatContext(
    PeerIdentity Identity, HeartbeatOptions Options, PeerMeshOptions Connection, LinkFaults Faults, TimeProvider Time, ILogger Log)
{
    private volatile HeartbeatSocket? _socket;

    /// <summary>Null: heartbeats go on the streams only.</summary>
    public HeartbeatSocket? Socket
    {
        get => _socket;
        set => _socket = value;
    }
}

/// <summary>
/// The heartbeats to and from one peer: the outbound stream with a connection of its own, and what arrives on the peer's stream to this node.
/// Judged and sent to by the heartbeat thread only, which also brings the datagrams; beats on the stream arrive on pool threads.
/// </summary>
internal sealed class HeartbeatPeer
{
    /// <summary>Sent times that a round trip may still be computed from.</summary>
    private const int SentWindow = 64;

    private readonly HeartbeatContext _context;
    private readonly Reconnection _reconnection;
    private readonly CancellationTokenSource _stop = new();
    private readonly Queue<(double DueMs, Heartbeat Beat)> _delayed = new();
    private readonly Lock _gate = new();
    private readonly Reachability _link;
    private readonly double _watchedSinceMs;
    private readonly double[] _sentMs = new double[SentWindow];
    private volatile IClientStreamWriter<Heartbeat>? _stream;
    private Task _write = Task.CompletedTask;
    private ulong _sequence;
    private ulong _heardSequence;
    private double _heardMs;
    private double _roundTripMs;
    private readonly ClockOffset _offset = new();
    private ulong _incarnation;
    private int _inboundStream;
    private ulong _inboundToken;
    private double _datagramHeardMs = double.NegativeInfinity;
    private bool _peerHearsDatagrams;
    private volatile DatagramTarget? _datagrams;

    public HeartbeatPeer(PeerAddress peer, HeartbeatContext context)
    {
        Peer = peer;
        _context = context;
        _reconnection = new Reconnection(context.Connection, unchecked((int)((context.Identity.Node.Value * 131) + peer.Node.Value)));
        _link = new Reachability(context.Identity.Node, context.Options.ToReachability());
        _watchedSinceMs = NowMs;
        _link.Watch(peer.Node, (long)_watchedSinceMs);
    }

    public PeerAddress Peer { get; }

    public Task Completion { get; private set; } = Task.CompletedTask;

    private double NowMs => _context.Time.GetTimestamp() * 1_000.0 / _context.Time.TimestampFrequency;

    public void Start() => Completion = Task.Run(RunAsync);

    public void Abort() => _stop.Cancel();

    public void ReconnectNow() => _reconnection.Hurry();

    /// <summary>The peer opened a new stream, whose sequence begins anew. What still comes on an older one counts no more.</summary>
    /// <returns>The number of the stream, for <see cref="Beat"/>, and the token for the datagrams that go with it.</returns>
    public (int Stream, ulong Token) Greeted(ulong incarnation)
    {
        Span<byte> token = stackalloc byte[sizeof(ulong)];
        RandomNumberGenerator.Fill(token);
        lock (_gate)
        {
            _incarnation = incarnation;
            _heardSequence = 0;
            _inboundToken = Math.Max(1, BitConverter.ToUInt64(token));
            _datagramHeardMs = double.NegativeInfinity;
            return (++_inboundStream, _inboundToken);
        }
    }

    /// <summary>A stream of the peer ended: datagrams that belong to it are void.</summary>
    public void Ended(int stream)
    {
        lock (_gate)
        {
            _inboundToken = stream == _inboundStream ? 0 : _inboundToken;
        }
    }

    /// <summary>A heartbeat arrived as a datagram, so long ago. Returns whether it is this peer's.</summary>
    public bool TryBeat(Heartbeat beat, double ageMs)
    {
        int stream;
        lock (_gate)
        {
            if (_inboundToken == 0 || beat.DatagramToken != _inboundToken)
            {
                return false;
            }

            stream = _inboundStream;
        }

        if (!_context.Faults.CutsInbound(Peer.Node))
        {
            Beat(beat, stream, ageMs);
            lock (_gate)
            {
                _datagramHeardMs = NowMs;
            }
        }

        return true;
    }

    /// <summary>A heartbeat arrived, so long ago.</summary>
    public void Beat(Heartbeat beat, int stream, double ageMs = 0)
    {
        lock (_gate)
        {
            if (stream != _inboundStream || beat.Sequence <= _heardSequence)
            {
                return;
            }

            // One on the stream may have been taken in between.
            double now = Math.Max(NowMs - ageMs, _heardMs);
            _context.Identity.Known.Heard(Peer.Node, beat.DurableBatch);
            PeerLog.Heard(_context.Log, Peer.Node, (long)now);
            _heardSequence = beat.Sequence;
            _heardMs = now;
            _link.OnHeartbeat(Peer.Node, (ulong)stream, beat.Hears.Contains(_context.Identity.Node.Value), (long)now);
            _peerHearsDatagrams = beat.HearsDatagrams;
            if (beat.EchoSequence != 0 && beat.EchoSequence <= _sequence && _sequence - beat.EchoSequence < SentWindow)
            {
                double trip = now - _sentMs[beat.EchoSequence % SentWindow] - (beat.EchoAgeUs / 1_000.0);
                _roundTripMs = _roundTripMs == 0 ? Math.Max(trip, 0) : (_roundTripMs * 0.875) + (Math.Max(trip, 0) * 0.125);
            }

            _offset.Add(beat.WallMs, _context.Time.GetUtcNow().ToUnixTimeMilliseconds() - (long)ageMs, _roundTripMs);
        }
    }

    /// <summary>How the peer stands now.</summary>
    public PeerLiveness Judge()
    {
        double now = NowMs;
        lock (_gate)
        {
            LinkState link = _link.LinkTo(Peer.Node, (long)now);
            double since = Math.Max(0, now - (_heardMs == 0 ? _watchedSinceMs : _heardMs));
            return new PeerLiveness(
                Peer.Node, Peer.Address, link, _link.Phi(Peer.Node, (long)now), TimeSpan.FromMilliseconds(since), _roundTripMs, _offset.IsMeasured ? _offset.Ms : double.NaN, _incarnation, (ulong)_inboundStream);
        }
    }

    /// <summary>
    /// Sends a heartbeat unless there is no stream, or the last one is still on its way (then the stream is stuck, and another would tell nobody anything). As a datagram where possible, and on the stream until the peer says
    /// that it hears the datagrams: a beat that comes twice counts once.
    /// </summary>
    public void Send(IReadOnlyList<uint> hears, HeartbeatSocket? socket)
    {
        if (_stream is not { } stream || !_write.IsCompleted)
        {
            return;
        }

        double now = NowMs;
        Heartbeat beat = Next(now, hears);
        if (Delay(beat, now) is not { } due || _context.Faults.Draw(Peer.Node) == FrameFate.Drop)
        {
            return;
        }

        bool sent = false;
        if (socket is not null && _datagrams is { } target)
        {
            due.DatagramToken = target.Token;
            sent = socket.TrySend(target.EndPoint, due);
        }

        if (!sent || !_peerHearsDatagrams)
        {
            _write = WriteAsync(stream, due);
        }
    }

    /// <summary>The newest heartbeat whose time to leave has come: this one, unless a fault delays the link.</summary>
    private Heartbeat? Delay(Heartbeat beat, double now)
    {
        int delayMs = _context.Faults.Of(Peer.Node).DelayMs;
        if (delayMs == 0)
        {
            _delayed.Clear();
            return beat;
        }

        _delayed.Enqueue((now + delayMs, beat));
        Heartbeat? due = null;
        while (_delayed.Count > 0 && _delayed.Peek().DueMs <= now)
        {
            due = _delayed.Dequeue().Beat;
        }

        return due;
    }

    private Heartbeat Next(double now, IReadOnlyList<uint> hears)
    {
        lock (_gate)
        {
            _sequence++;
            _sentMs[_sequence % SentWindow] = now;
            Heartbeat beat = new()
            {
                Sequence = _sequence,
                EchoSequence = _heardSequence,
                EchoAgeUs = _heardSequence == 0 ? 0 : (ulong)(Math.Max(0, now - _heardMs) * 1_000),
                DurableBatch = _context.Identity.DurableBatch(),
                WallMs = (ulong)_context.Time.GetUtcNow().ToUnixTimeMilliseconds(),

                // Some may be lost. After more silence than this the peer repeats its beats on the stream, well before the detector gives it up.
                HearsDatagrams = now - _datagramHeardMs <= 3 * _context.Options.Interval.TotalMilliseconds,
            };
            beat.Hears.AddRange(hears);
            return beat;
        }
    }

    private async Task WriteAsync(IClientStreamWriter<Heartbeat> stream, Heartbeat beat)
    {
        try
        {
            await stream.WriteAsync(beat);
        }
        catch (Exception failure) when (failure is RpcException or InvalidOperationException or IOException or OperationCanceledException)
        {
            // The stream is broken; its reader notices too, and connects anew.
            Interlocked.CompareExchange(ref _stream, null, stream);
        }
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await RunStreamAsync();
            }
            catch (Exception failure) when (failure is RpcException or OperationCanceledException or IOException or InvalidOperationException)
            {
                // The streams for frames report trouble with the connection; saying it thrice helps nobody.
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
        PeerFault fault = _context.Faults.Of(Peer.Node);
        if (fault.CutInbound || fault.CutOutbound)
        {
            return;
        }

        using GrpcChannel channel = PeerChannel.Open(Peer.Address, _context.Connection);
        using CancellationTokenSource end = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        using AsyncDuplexStreamingCall<Heartbeat, Heartbeat> call =
            channel.CreateCallInvoker().AsyncDuplexStreamingCall(PeerMethods.Heartbeats, null, new CallOptions(cancellationToken: end.Token));
        end.CancelAfter(_context.Connection.ConnectTimeout);
        await call.RequestStream.WriteAsync(new Heartbeat { Hello = Handshake.Hello(_context.Identity, Peer.Node, Lane.Unspecified) });
        if (!await call.ResponseStream.MoveNext(CancellationToken.None))
        {
            return;
        }

        end.CancelAfter(Timeout.InfiniteTimeSpan);
        _reconnection.Reset();
        _datagrams = await TargetAsync(call.ResponseStream.Current, end.Token);
        _stream = call.RequestStream;
        try
        {
            // The peer's own heartbeats come on the stream that it opens; this one only ends.
            while (await call.ResponseStream.MoveNext(CancellationToken.None))
            {
            }
        }
        finally
        {
            _stream = null;
            _datagrams = null;
        }
    }

    /// <summary>Where the peer takes datagrams, if it does: on the host of its address.</summary>
    private async Task<DatagramTarget?> TargetAsync(Heartbeat welcome, CancellationToken cancellation)
    {
        if (_context.Socket is not { } socket || welcome.DatagramPort is 0 or > IPEndPoint.MaxPort || welcome.DatagramToken == 0)
        {
            return null;
        }

        try
        {
            foreach (IPAddress address in await Dns.GetHostAddressesAsync(new Uri($"http://{Peer.Address}").IdnHost, cancellation))
            {
                if (socket.Reachable(new IPEndPoint(address, (int)welcome.DatagramPort)) is { } endPoint)
                {
                    return new DatagramTarget(endPoint, welcome.DatagramToken);
                }
            }
        }
        catch (System.Net.Sockets.SocketException)
        {
            // The name resolved a moment ago, for the stream; the beats stay there.
        }

        return null;
    }

    private sealed record DatagramTarget(IPEndPoint EndPoint, ulong Token);
}
