using System.Buffers.Binary;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace KvStore.Cli.Bench.Rig;

/// <summary>
/// Makes another .NET process collect its garbage, fully and at once, over the diagnostics port that every one has (docs/design-docs/ipc-protocol.md of dotnet/diagnostics): a trace session that asks the runtime for the event
/// keyword GCHeapCollect does so when it begins. Without it resident memory is mostly a question of when the last collection was.
/// </summary>
internal static class InducedCollection
{
    private const byte EventPipe = 0x02;
    private const byte StopTracing = 0x01;
    private const byte CollectTracing2 = 0x03;
    private const byte Accepted = 0x00;
    private const ulong GcHeapCollect = 0x800000;
    private const int HeaderBytes = 20;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <exception cref="IOException">The process has no diagnostics port, or refused.</exception>
    public static async Task RunAsync(int pid, CancellationToken stop)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(stop);
        deadline.CancelAfter(Patience);
        using var tracing = await ConnectAsync(pid, deadline.Token);
        var session = await AskAsync(tracing, CollectTracing2, Session(), deadline.Token);
        using (var stopping = await ConnectAsync(pid, deadline.Token))
        {
            var drained = DrainAsync(tracing, deadline.Token);
            await AskAsync(stopping, StopTracing, session, deadline.Token);
            await drained;
        }
    }

    /// <summary>A small buffer, the nettrace format, no rundown, one provider.</summary>
    private static byte[] Session()
    {
        using var payload = new MemoryStream();
        using var writer = new BinaryWriter(payload);
        writer.Write(1u);
        writer.Write(1u);
        writer.Write((byte)0);
        writer.Write(1u);
        writer.Write(GcHeapCollect);
        writer.Write(4u);
        const string Provider = "Microsoft-Windows-DotNETRuntime\0";
        writer.Write((uint)Provider.Length);
        writer.Write(Encoding.Unicode.GetBytes(Provider));
        writer.Write(0u);
        writer.Flush();
        return payload.ToArray();
    }

    /// <summary>A process that was killed leaves its port behind as a file, and its number is given out anew: of the ports with the number, the one that takes a connection is the process that lives.</summary>
    private static async Task<NetworkStream> ConnectAsync(int pid, CancellationToken stop)
    {
        SocketException? refused = null;
        foreach (var path in Directory.EnumerateFileSystemEntries(Path.GetTempPath(), string.Create(CultureInfo.InvariantCulture, $"dotnet-diagnostic-{pid}-*-socket")))
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), stop);
                return new NetworkStream(socket, ownsSocket: true);
            }
            catch (SocketException exception)
            {
                socket.Dispose();
                refused = exception;
            }
        }

        throw refused is null
            ? new IOException($"Process {pid} has no diagnostics port in {Path.GetTempPath()}; is DOTNET_EnableDiagnostics off?")
            : new IOException($"The diagnostics port of process {pid} in {Path.GetTempPath()} does not answer: {refused.Message}", refused);
    }

    /// <summary>Sends a command; returns the payload of its answer, which is the session's number.</summary>
    private static async Task<byte[]> AskAsync(NetworkStream port, byte command, byte[] payload, CancellationToken stop)
    {
        var message = new byte[HeaderBytes + payload.Length];
        Encoding.ASCII.GetBytes("DOTNET_IPC_V1\0", message);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(14), (ushort)message.Length);
        (message[16], message[17]) = (EventPipe, command);
        payload.CopyTo(message, HeaderBytes);
        await port.WriteAsync(message, stop);

        var header = new byte[HeaderBytes];
        await port.ReadExactlyAsync(header, stop);
        var answer = new byte[BinaryPrimitives.ReadUInt16LittleEndian(header.AsSpan(14)) - HeaderBytes];
        await port.ReadExactlyAsync(answer, stop);
        return header[17] == Accepted ? answer : throw new IOException($"The runtime refused to collect (command {command}).");
    }

    private static async Task DrainAsync(NetworkStream tracing, CancellationToken stop)
    {
        var ignored = new byte[16_384];
        while (await tracing.ReadAsync(ignored, stop) > 0)
        {
            // Nobody reads the trace; it was begun for what its beginning does.
        }
    }
}
