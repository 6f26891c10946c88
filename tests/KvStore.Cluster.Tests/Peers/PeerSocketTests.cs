using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using FluentAssertions;
using KvStore.Node.Peers;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>A black hole without a reset: nothing arrives any more at the other end, and nothing comes back from it.</summary>
public sealed class PeerSocketTests
{
    private static readonly PeerMeshOptions Hasty = new() { KeepAliveDelay = TimeSpan.FromSeconds(1), KeepAliveTimeout = TimeSpan.FromSeconds(1) };

    [Fact]
    public async Task Scenario_13_a_black_hole_ends_a_silent_connection_and_one_with_something_under_way()
    {
        if (!PeerSocket.FindsBlackHoles)
        {
            // HTTP/2 pings there.
            return;
        }

        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        (Socket Here, Socket There) silent = await ConnectAsync(listener);
        (Socket Here, Socket There) busy = await ConnectAsync(listener);
        (Socket Here, Socket There) sound = await ConnectAsync(listener);

        Swallow(silent.There);
        Swallow(busy.There);
        await busy.Here.SendAsync(new byte[100]);

        foreach (Socket here in (Socket[])[silent.Here, busy.Here])
        {
            Func<Task> read = async () => await here.ReceiveAsync(new byte[1]).WaitAsync(TimeSpan.FromSeconds(30));
            (await read.Should().ThrowAsync<SocketException>()).Which.SocketErrorCode.Should().Be(SocketError.TimedOut);
        }

        (await sound.There.SendAsync(new byte[1])).Should().Be(1);
        (await sound.Here.ReceiveAsync(new byte[1])).Should().Be(1, "a connection that is only silent is left alone");
        foreach (Socket socket in (Socket[])[silent.Here, silent.There, busy.Here, busy.There, sound.Here, sound.There])
        {
            socket.Dispose();
        }
    }

    private static async Task<(Socket Here, Socket There)> ConnectAsync(TcpListener listener)
    {
        Stream stream = await PeerSocket.ConnectAsync(new DnsEndPoint("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port), Hasty, CancellationToken.None);
        return (((NetworkStream)stream).Socket, await listener.AcceptSocketAsync());
    }

    /// <summary>Has the kernel throw away, unread and unacknowledged, whatever arrives at this socket: a packet filter of one instruction, "keep nothing".</summary>
    private static void Swallow(Socket socket)
    {
        const int SolSocket = 1;
        const int AttachFilter = 26;
        const ulong ReturnZero = 0x06;
        IntPtr filter = Marshal.AllocHGlobal(sizeof(ulong));
        try
        {
            Marshal.WriteInt64(filter, (long)ReturnZero);
            byte[] program = new byte[16];
            BitConverter.TryWriteBytes(program, (ushort)1);
            BitConverter.TryWriteBytes(program.AsSpan(8), filter.ToInt64());
            socket.SetRawSocketOption(SolSocket, AttachFilter, program);
        }
        finally
        {
            Marshal.FreeHGlobal(filter);
        }
    }
}
