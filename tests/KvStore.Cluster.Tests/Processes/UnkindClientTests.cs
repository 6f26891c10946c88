using System.Net;
using System.Net.Sockets;
using FluentAssertions;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.Processes;

/// <summary>Scenario 47: clients that don't read, that do nothing, or that change their mind at once, against a node in a process of its own whose memory is watched.</summary>
[Collection(ClusterCollection.Name)]
public sealed class UnkindClientTests(ITestOutputHelper output) : IAsyncLifetime
{
    private const int ValueBytes = KvLimits.MaxValueBytes;

    /// <summary>A quarter of what the slow readers asked for. What is due to them at most: 64 MiB a stream, then it is cut off.</summary>
    private const long MaxGrowthBytes = 256L << 20;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly string _directory = Directory.CreateTempSubdirectory("kvstore-unkind-").FullName;
    private readonly int _port = NodeProcess.FreePort();
    private readonly int _http = NodeProcess.FreePort();
    private readonly List<Socket> _sockets = [];
    private NodeProcess _node = null!;
    private KvClient _client = null!;
    private IKvKeyspace _keyspace = null!;
    private uint _keyspaceId;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        // Segments that can hold the largest value.
        _node = NodeProcess.Start([.. NodeProcess.Flags(_directory, _port).Select(flag => flag == "1MiB" ? "8MiB" : flag), "--http", $"127.0.0.1:{_http}"]);
        await _node.ReadyAsync(Cancellation);
        _client = KvClient.Create($"http://127.0.0.1:{_port}");
        _keyspaceId = (await _client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = "orders", Shards = 1, Replicas = 1 }, Cancellation)).Id;
        _keyspace = _client.Keyspace("orders");
        await _keyspace.PutAsync("large", new byte[ValueBytes]);
        await ServesAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _sockets.ForEach(socket => socket.Dispose());
        await _client.DisposeAsync();
        _node.Dispose();
        Directory.Delete(_directory, recursive: true);
    }

    [Fact]
    public async Task Scenario_47_readers_that_do_not_read_a_GiB_cost_little_memory_and_make_nobody_wait()
    {
        const int Requests = 512;
        long before = _node.ResidentBytes;

        // Half a GiB over HTTP/1.1, on four connections, and half a GiB over a pipelined stream; nobody takes an answer.
        byte[] asked = System.Text.Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat($"GET /v1/keyspaces/orders/keys/large HTTP/1.1\r\nHost: 127.0.0.1:{_http}\r\n\r\n", Requests / 4)));
        for (int i = 0; i < 4; i++)
        {
            await (await ConnectAsync(_http)).SendAsync(asked, Cancellation);
        }

        using GrpcChannel channel = GrpcChannel.ForAddress($"http://127.0.0.1:{_port}", new GrpcChannelOptions { MaxReceiveMessageSize = null });
        using AsyncDuplexStreamingCall<OperationBatch, ResultBatch> stream = new KvPipeline.KvPipelineClient(channel).Run(cancellationToken: Cancellation);
        Task asking = AskAsync(stream, Requests);

        long most = await WatchMemoryAsync();
        output.WriteLine($"{before >> 20} MiB before, {most >> 20} MiB at most while 1 GiB was asked for and not read");
        (most - before).Should().BeLessThan(MaxGrowthBytes);
        stream.Dispose();
        await asking;
    }

    [Fact]
    public async Task Scenario_47_five_thousand_idle_connections_and_twenty_thousand_resets_cost_little_memory_and_make_nobody_wait()
    {
        const int Connections = 5_000, Resets = 20_000;
        long before = _node.ResidentBytes;
        for (int i = 0; i < Connections; i++)
        {
            Socket socket = await ConnectAsync(i % 2 == 0 ? _port : _http);
            if (i % 2 == 0)
            {
                // The preface of HTTP/2 and empty settings: a connection that has begun, and says no more.
                await socket.SendAsync((byte[])[.. "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"u8, 0, 0, 0, 4, 0, 0, 0, 0, 0], Cancellation);
            }
        }

        long idle = await WatchMemoryAsync();
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://127.0.0.1:{_port}");
        var client = new Kv.KvClient(channel);
        for (int i = 0; i < Resets; i++)
        {
            client.Watch(new WatchRequest { Keyspace = "orders", Prefix = ByteString.Empty }, cancellationToken: Cancellation).Dispose();
        }

        long most = await WatchMemoryAsync();
        output.WriteLine($"{before >> 20} MiB before, {idle >> 20} MiB with {Connections} idle connections, {most >> 20} MiB at most after {Resets} streams that were reset at once");
        (most - before).Should().BeLessThan(MaxGrowthBytes);
    }

    private async Task AskAsync(AsyncDuplexStreamingCall<OperationBatch, ResultBatch> stream, int requests)
    {
        try
        {
            for (int i = 1; i <= requests; i++)
            {
                var batch = new OperationBatch();
                batch.Operations.Add(new Operation { CallId = (ulong)i, Kind = OperationKind.Get, KeyspaceId = _keyspaceId, Key = ByteString.CopyFromUtf8("large") });
                await stream.RequestStream.WriteAsync(batch, Cancellation);
            }
        }
        catch (Exception ended) when (ended is RpcException or InvalidOperationException or OperationCanceledException)
        {
            // A node may cut off who doesn't read.
        }
    }

    /// <summary>The most that the node has in memory while two hundred other operations are served, each in time.</summary>
    private async Task<long> WatchMemoryAsync()
    {
        long most = 0;
        for (int i = 0; i < 100; i++)
        {
            await ServesAsync();
            most = Math.Max(most, _node.ResidentBytes);
        }

        return most;
    }

    private async Task ServesAsync()
    {
        await _keyspace.PutAsync("small", "v", new KvWriteOptions { Timeout = Patience });
        (await _keyspace.GetAsync<string>("small", new KvReadOptions { Timeout = Patience }))!.Value.Should().Be("v");
    }

    private async Task<Socket> ConnectAsync(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 64 * 1_024 };
        _sockets.Add(socket);
        await socket.ConnectAsync(new IPEndPoint(IPAddress.Loopback, port), Cancellation);
        return socket;
    }
}
