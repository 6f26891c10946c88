using System.Net;
using Grpc.Core;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Faults;

namespace KvStore.Node.Peers;

/// <summary>
/// Tells every peer at a steady pace that this node lives, and judges by what the peers say who of them does. One dedicated thread drives it, and each peer has a connection of its own for it, so
/// that neither bulk data nor a busy pool delays a beat. It feeds routing, policy and status; quorum contact is the Raft groups' own affair.
/// </summary>
public sealed class HeartbeatService : IAsyncDisposable
{
    private readonly HeartbeatContext _context;
    private readonly Func<bool> _alive;
    private readonly ILogger _log;
    private readonly Lock _gate = new();
    private readonly ManualResetEventSlim _stopped = new(initialState: false, spinCount: 0);
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _thread;
    private volatile HeartbeatPeer[] _peers = [];
    private volatile PeerView _view = PeerView.Empty;
    private long _datagramsHeard;
    private long _drained;
    private volatile bool _refusesDatagrams;
    private bool _started;
    private bool _gateWasOpen = true;

    /// <param name="alive">
    /// The liveness gate, asked each round on the heartbeat thread: false while the node's loops make no progress or its disk doesn't answer. Then nothing is sent, and the peers draw their conclusion.
    /// </param>
    public HeartbeatService(
        PeerIdentity self, Func<bool> alive, LinkFaults faults, HeartbeatOptions options, PeerMeshOptions connection, TimeProvider time, ILogger<HeartbeatService> log)
    {
        _context = new HeartbeatContext(self, options, connection, faults, time, log);
        _alive = alive;
        _log = log;
        _thread = new Thread(Run) { IsBackground = true, Name = "heartbeats", Priority = ThreadPriority.AboveNormal };
        faults.Changed += ReconnectAll;
    }

    /// <summary>Heartbeats of peers that came as datagrams, since the start.</summary>
    public long DatagramsHeard => Volatile.Read(ref _datagramsHeard);

    /// <summary>The newest judgement of all peers.</summary>
    public PeerView View => _view;

    /// <summary>Raised on the heartbeat thread when the reachability of a peer, whether it hears us, or its boot changed: post and go.</summary>
    public event Action<PeerView>? Changed;

    /// <summary>Raised on the heartbeat thread after each round: post and go.</summary>
    public event Action<PeerView>? Judged;

    /// <summary>The first heartbeat of a new stream of a peer arrived: it is there, connect to it now. Raised on a pool thread.</summary>
    public event Action<NodeId>? PeerHeard;

    public void Start()
    {
        lock (_gate)
        {
            _started = true;
            foreach (HeartbeatPeer peer in _peers)
            {
                peer.Start();
            }
        }

        _thread.Start();
    }

    /// <summary>From now on heartbeats travel as datagrams to the peers that take them, and are taken as such. Called before <see cref="Start"/> or never.</summary>
    /// <param name="at">Where to listen; another port is taken if this one isn't free.</param>
    public void UseDatagrams(IPEndPoint at) => _context.Socket = HeartbeatSocket.TryOpen(at);

    /// <summary>For tests: what arrives as a datagram is dropped from now on, as behind a firewall.</summary>
    internal void RefuseDatagrams() => _refusesDatagrams = true;

    /// <summary>The members of the cluster, this node included or not.</summary>
    public void UpdateMembers(IReadOnlyList<PeerAddress> members)
    {
        lock (_gate)
        {
            HeartbeatPeer[] before = _peers;
            List<HeartbeatPeer> next = [];
            foreach (PeerAddress member in members.Where(member => member.Node != _context.Identity.Node))
            {
                HeartbeatPeer? peer = Array.Find(before, known => known.Peer == member);
                if (peer is null)
                {
                    peer = new HeartbeatPeer(member, _context);
                    if (_started)
                    {
                        peer.Start();
                    }
                }

                next.Add(peer);
            }

            _peers = [.. next];
            foreach (HeartbeatPeer gone in before.Except(next))
            {
                gone.Abort();
            }
        }
    }

    /// <summary>Ends all streams and waits for them. The thread ends within a round.</summary>
    public async Task StopAsync()
    {
        Abort();
        await Task.WhenAll(_peers.Select(peer => peer.Completion));
    }

    /// <summary>Ends all streams at once, as a kill would.</summary>
    public void Abort()
    {
        _context.Faults.Changed -= ReconnectAll;
        _stopped.Set();
        _stop.Cancel();
        foreach (HeartbeatPeer peer in _peers)
        {
            peer.Abort();
        }

        if (!_started)
        {
            _context.Socket?.Dispose();
        }
    }

    public async ValueTask DisposeAsync() => await StopAsync();

    internal async Task AcceptAsync(IAsyncStreamReader<Heartbeat> requests, IServerStreamWriter<Heartbeat> responses, CancellationToken cancellation)
    {
        using CancellationTokenSource end = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _stop.Token);
        try
        {
            end.CancelAfter(_context.Connection.ConnectTimeout);
            Hello? hello = await requests.MoveNext(end.Token) ? requests.Current.Hello : null;
            NodeId node = Handshake.Admit(hello, _context.Identity, id => Find(id) is not null);
            if (_context.Faults.Of(node) is { CutInbound: true } or { CutOutbound: true })
            {
                await SwallowAsync(requests, end.Token);
                return;
            }

            end.CancelAfter(Timeout.InfiniteTimeSpan);
            HeartbeatPeer? listener = Find(node);
            (int stream, ulong token) = listener?.Greeted(hello!.Incarnation) ?? default;
            try
            {
                Heartbeat welcome = new()
                {
                    Hello = Handshake.Hello(_context.Identity, node, Lane.Unspecified),
                    DatagramPort = (uint)(_context.Socket?.Port ?? 0),
                    DatagramToken = token,
                };
                await responses.WriteAsync(welcome, end.Token);
                await ListenAsync(node, listener, stream, requests, end.Token);
            }
            finally
            {
                listener?.Ended(stream);
            }
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested)
        {
            throw new RpcException(new Status(StatusCode.Unavailable, "The stream was ended by the receiving node."));
        }
        catch (IOException)
        {
            // The peer is gone without a farewell: its silence says the rest.
        }
    }

    private async Task ListenAsync(NodeId node, HeartbeatPeer? listener, int stream, IAsyncStreamReader<Heartbeat> requests, CancellationToken end)
    {
        bool first = true;
        while (await requests.MoveNext(end))
        {
            if (_context.Faults.CutsInbound(node))
            {
                continue;
            }

            // The members may change under a long stream. The peer then connects anew, or is refused.
            if (Find(node) is not { } peer || peer != listener)
            {
                return;
            }

            peer.Beat(requests.Current, stream);
            if (first)
            {
                first = false;
                peer.ReconnectNow();
                PeerHeard?.Invoke(node);
            }
        }
    }

    private void Drain()
    {
        if (_context.Socket is { } socket)
        {
            // Whatever the clock on the wall did meanwhile: what is here now has come since the last round.
            TimeSpan oldest = _context.Time.GetElapsedTime(_drained);
            _drained = _context.Time.GetTimestamp();
            socket.Drain((beat, age) => OnDatagram(beat, Math.Min(age.TotalMilliseconds, oldest.TotalMilliseconds)));
        }
    }

    private void OnDatagram(Heartbeat beat, double ageMs)
    {
        foreach (HeartbeatPeer peer in _refusesDatagrams ? [] : _peers)
        {
            if (peer.TryBeat(beat, ageMs))
            {
                Interlocked.Increment(ref _datagramsHeard);
                return;
            }
        }
    }

    private static async Task SwallowAsync(IAsyncStreamReader<Heartbeat> requests, CancellationToken cancellation)
    {
        while (await requests.MoveNext(cancellation))
        {
        }
    }

    private void Run()
    {
        using HeartbeatSocket? socket = _context.Socket;
        using CheapSleep sleep = new();
        while (!(sleep.TrySleep(_context.Options.Interval) ? _stopped.IsSet : _stopped.Wait(_context.Options.Interval)))
        {
            try
            {
                Round();
            }
            catch (Exception failure) when (failure is not OutOfMemoryException)
            {
                // A listener or the gate failed: peers must not conclude from it that the node is dead.
                PeerLog.RoundFailed(_log, failure);
            }
        }
    }

    /// <summary>One wake-up for everything: takes what came as datagrams, judges, sends.</summary>
    private void Round()
    {
        Drain();
        HeartbeatPeer[] peers = _peers;
        PeerView before = _view;
        PeerView now = new(peers.Select(peer => peer.Judge()));
        _view = now;
        if (GateOpen())
        {
            uint[] hears = [.. now.Peers.Where(peer => peer.IsHeard).Select(peer => peer.Node.Value)];
            foreach (HeartbeatPeer peer in peers)
            {
                peer.Send(hears, _context.Socket);
            }
        }

        Judged?.Invoke(now);
        if (Report(before, now))
        {
            Changed?.Invoke(now);
        }
    }

    private bool GateOpen()
    {
        bool open = _alive();
        if (open != _gateWasOpen)
        {
            _gateWasOpen = open;
            if (open)
            {
                PeerLog.GateOpened(_log);
            }
            else
            {
                PeerLog.GateClosed(_log);
            }
        }

        return open;
    }

    private bool Report(PeerView before, PeerView now)
    {
        bool changed = before.Peers.Count != now.Peers.Count;
        foreach (PeerLiveness peer in now.Peers)
        {
            PeerLiveness? earlier = before.Find(peer.Node);
            changed |= earlier is null || earlier.HearsUs != peer.HearsUs || earlier.Boot != peer.Boot;
            if (earlier?.Reachability != peer.Reachability)
            {
                changed = true;
                Say(peer, earlier is null);
            }
        }

        return changed;
    }

    private void Say(PeerLiveness peer, bool first)
    {
        switch (peer.Reachability)
        {
            case Reachability.Up:
                PeerLog.Up(_log, peer.Node, peer.HearsUs ? "we hear each other" : "we hear it");
                break;
            case Reachability.Down:
                PeerLog.Down(_log, peer.Node, $"silent for {peer.SinceHeard.TotalMilliseconds:0} ms");
                break;
            case Reachability.Suspect when !first:
                PeerLog.Suspect(_log, peer.Node, $"silent for {peer.SinceHeard.TotalMilliseconds:0} ms");
                break;
        }
    }

    private HeartbeatPeer? Find(NodeId node) => Array.Find(_peers, peer => peer.Peer.Node == node);

    private void ReconnectAll()
    {
        foreach (HeartbeatPeer peer in _peers)
        {
            peer.ReconnectNow();
        }
    }
}
