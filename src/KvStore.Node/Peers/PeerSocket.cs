using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace KvStore.Node.Peers;

/// <summary>
/// The TCP connection under a peer's stream. The kernel itself looks whether the other end is still there: by probes while the connection is silent, by the age of what is unacknowledged while it isn't. So a black hole
/// without a reset ends the connection, and an idle one costs the process nothing: a ping of HTTP/2 wakes half a dozen pool threads, several times a second in all.
/// What the kernel can't see, a process that stands still behind a kernel that answers, the heartbeats see.
/// </summary>
internal static class PeerSocket
{
    /// <summary>From linux/tcp.h; .NET has no name for it.</summary>
    private const int TcpUserTimeout = 18;

    private const int IpProtoTcp = 6;

    private static readonly TimeSpan ProbeInterval = TimeSpan.FromSeconds(1);

    /// <summary>Whether this system bounds the age of unacknowledged data. Elsewhere probes alone would miss a black hole that opens while something is under way, and HTTP/2 must ping.</summary>
    public static bool FindsBlackHoles => OperatingSystem.IsLinux();

    public static async ValueTask<Stream> ConnectAsync(DnsEndPoint peer, PeerMeshOptions options, CancellationToken cancellation)
    {
        Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            if (FindsBlackHoles)
            {
                Watch(socket, options.KeepAliveDelay, options.KeepAliveTimeout);
            }

            await socket.ConnectAsync(peer, cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <param name="socket">Not connected yet.</param>
    /// <param name="delay">Probes begin after so much silence.</param>
    /// <param name="timeout">So long after that, without an answer, the connection ends.</param>
    private static void Watch(Socket socket, TimeSpan delay, TimeSpan timeout)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, Seconds(delay));
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, Seconds(ProbeInterval));
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, Seconds(timeout));
        Span<byte> limitMs = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(limitMs, (int)(delay + timeout).TotalMilliseconds);
        socket.SetRawSocketOption(IpProtoTcp, TcpUserTimeout, limitMs);
    }

    /// <summary>The kernel counts whole seconds.</summary>
    private static int Seconds(TimeSpan time) => Math.Max(1, (int)Math.Ceiling(time.TotalSeconds));
}
