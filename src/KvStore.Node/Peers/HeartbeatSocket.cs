using System.Net;
using System.Net.Sockets;
using Google.Protobuf;
using KvStore.Contracts.V1;

namespace KvStore.Node.Peers;

/// <summary>
/// Carries heartbeats as datagrams. A beat over a stream costs a dozen hand-overs between pool threads on its way, which is most of what an idle node does; a datagram goes from the thread that drives the heartbeats to a
/// thread that waits for them. It is an economy, not a dependency: who isn't heard here (a firewall, another network) is heard on the stream as before. Each datagram carries the token that the receiver gave out with the
/// welcome of the stream, so what comes from a stranger, or from an earlier life of a peer, is nobody's.
/// </summary>
internal sealed class HeartbeatSocket : IDisposable
{
    /// <summary>The beat of a node in a cluster of a thousand fits; a longer one goes on the stream.</summary>
    private const int MaxBytes = 1_400;

    /// <summary>A socket that only fails is given up; the streams are still there.</summary>
    private const int MaxFailuresInARow = 1_000;

    private readonly Socket _socket;
    private readonly Action<Heartbeat> _received;
    private readonly byte[] _outgoing = new byte[MaxBytes];
    private volatile bool _closed;

    private HeartbeatSocket(Socket socket, Action<Heartbeat> received)
    {
        _socket = socket;
        _received = received;
        Port = ((IPEndPoint)socket.LocalEndPoint!).Port;
        new Thread(Run) { IsBackground = true, Name = "heartbeats in", Priority = ThreadPriority.AboveNormal }.Start();
    }

    public int Port { get; }

    /// <summary>On the wished port, or on any if that one is taken. Null where there are no datagrams to be had.</summary>
    /// <param name="wished">The address that the node listens on.</param>
    /// <param name="received">Called on the socket's own thread.</param>
    public static HeartbeatSocket? TryOpen(IPEndPoint wished, Action<Heartbeat> received)
    {
        foreach (int port in (ReadOnlySpan<int>)[wished.Port, 0])
        {
            Socket? socket = null;
            try
            {
                socket = new Socket(wished.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
                if (wished.AddressFamily == AddressFamily.InterNetworkV6)
                {
                    socket.DualMode = true;
                }

                socket.Bind(new IPEndPoint(wished.Address, port));
                return new HeartbeatSocket(socket, received);
            }
            catch (SocketException)
            {
                socket?.Dispose();
            }
        }

        return null;
    }

    /// <summary>The address in the form in which this socket can send to it; null if it can't.</summary>
    public IPEndPoint? Reachable(IPEndPoint to) => (_socket.AddressFamily, to.AddressFamily) switch
    {
        (AddressFamily.InterNetworkV6, AddressFamily.InterNetwork) => new IPEndPoint(to.Address.MapToIPv6(), to.Port),
        var (own, other) => own == other ? to : null,
    };

    /// <summary>On the heartbeat thread only. False: it did not leave; nobody knows of one that did.</summary>
    public bool TrySend(IPEndPoint to, Heartbeat beat)
    {
        int size = beat.CalculateSize();
        if (size > MaxBytes || _closed)
        {
            return false;
        }

        try
        {
            beat.WriteTo(_outgoing.AsSpan(0, size));
            _socket.SendTo(_outgoing.AsSpan(0, size), SocketFlags.None, to);
            return true;
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            return false;
        }
    }

    public void Dispose()
    {
        _closed = true;
        _socket.Dispose();
    }

    private void Run()
    {
        byte[] buffer = new byte[MaxBytes];
        int failures = 0;
        while (!_closed && failures < MaxFailuresInARow)
        {
            try
            {
                int length = _socket.Receive(buffer);
                failures = 0;
                _received(Heartbeat.Parser.ParseFrom(buffer, 0, length));
            }
            catch (Exception failure) when (failure is SocketException or ObjectDisposedException or InvalidProtocolBufferException)
            {
                // Closed, somebody else's datagram, or the echo of one that nobody took: the next one may be good.
                failures++;
            }
        }
    }
}
