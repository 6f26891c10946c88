using System.Net;
using System.Net.Sockets;
using Google.Protobuf;
using KvStore.Contracts.V1;

namespace KvStore.Node.Peers;

/// <summary>
/// Carries heartbeats as datagrams. A beat over a stream costs a dozen hand-overs between pool threads on its way, which is most of what an idle node does; a datagram wakes nobody at all: the thread that drives the heartbeats
/// empties the socket before each round, and the kernel has noted when each one came. It is an economy, not a dependency: who isn't heard here (a firewall, another network) is heard on the stream as before. Each datagram
/// carries the token that the receiver gave out with the welcome of the stream, so what comes from a stranger, or from an earlier life of a peer, is nobody's.
/// Used by the heartbeat thread only.
/// </summary>
internal sealed class HeartbeatSocket : IDisposable
{
    /// <summary>The beat of a node in a cluster of a thousand fits; a longer one goes on the stream.</summary>
    private const int MaxBytes = 1_400;

    /// <summary>More than a round brings in the largest cluster. What a flood leaves behind is dropped by the kernel; a round must not last for ever.</summary>
    private const int MaxPerRound = 1_024;

    private readonly Socket _socket;
    private readonly byte[] _outgoing = new byte[MaxBytes];
    private readonly byte[] _incoming = new byte[MaxBytes];

    private HeartbeatSocket(Socket socket)
    {
        _socket = socket;
        Port = ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    public int Port { get; }

    /// <summary>On the wished port, or on any if that one is taken. Null where there are no datagrams to be had.</summary>
    /// <param name="wished">The address that the node listens on.</param>
    public static HeartbeatSocket? TryOpen(IPEndPoint wished)
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
                socket.Blocking = false;
                return new HeartbeatSocket(socket);
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

    /// <summary>False: it did not leave; nobody knows of one that did.</summary>
    public bool TrySend(IPEndPoint to, Heartbeat beat)
    {
        int size = beat.CalculateSize();
        if (size > MaxBytes)
        {
            return false;
        }

        try
        {
            beat.WriteTo(_outgoing.AsSpan(0, size));
            _socket.SendTo(_outgoing.AsSpan(0, size), SocketFlags.None, to);
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Takes all that has come since the last time.</summary>
    /// <param name="received">Given each heartbeat, and how long it has lain here.</param>
    public void Drain(Action<Heartbeat, TimeSpan> received)
    {
        for (int i = 0; i < MaxPerRound && TryReceive(out int length); i++)
        {
            TimeSpan age = DatagramArrival.Age(_socket.SafeHandle);
            try
            {
                received(Heartbeat.Parser.ParseFrom(_incoming, 0, length), age);
            }
            catch (InvalidProtocolBufferException)
            {
                // Somebody else's datagram; the next one may be good.
            }
        }
    }

    public void Dispose() => _socket.Dispose();

    private bool TryReceive(out int length)
    {
        length = _socket.Receive(_incoming, SocketFlags.None, out SocketError error);
        return error == SocketError.Success;
    }
}
