using System.Collections.Concurrent;
using System.Net;
using Grpc.Core;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace KvStore.Cluster.Tests.Client;

/// <summary>An operation as a scripted peer received it.</summary>
internal sealed record Received(uint Node, WireOperation Operation, int Frame);

/// <summary>A scripted protocol peer on a real socket: it answers each operation as its script says, stores nothing and decides nothing.</summary>
internal sealed class FakeNode(uint id) : IAsyncDisposable
{
    private readonly ConcurrentDictionary<ServerCallContext, bool> _calls = new();
    private WebApplication? _app;
    private int _frames;

    public uint Id { get; } = id;

    public string Address { get; private set; } = "";

    public ConcurrentQueue<Received> Received { get; } = new();

    /// <summary>Which cluster the last stream's caller said it means.</summary>
    public string? MeantCluster { get; private set; }

    public int Frames => Volatile.Read(ref _frames);

    /// <summary>The answer to an operation; null: none. The call id is filled in.</summary>
    public Func<WireOperation, WireResult?> Script { get; set; } = Done;

    public TaskCompletionSource<Topology> Topology { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public static WireResult? Done(WireOperation operation) => new WireResult { Outcome = Outcome.Done, Regime = Regime.Ordered, Acknowledgements = 3, Version = new byte[] { 1 } };

    public static WireResult Refuse(Code code, uint hint = 0, bool retryable = true) =>
        new() { Outcome = Outcome.NotDone, Code = code, LeaderHint = hint, Retryable = retryable, Reason = $"scripted {code}" };

    public async Task StartAsync()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(o => o.Listen(IPAddress.Loopback, 0, l => l.Protocols = HttpProtocols.Http2));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(this);
        _app = builder.Build();
        _app.MapGrpcService<Pipeline>();
        _app.MapGrpcService<Watch>();
        _app.MapGrpcService<Operators>();
        await _app.StartAsync();
        string url = _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        Address = new Uri(url).Authority;
    }

    /// <summary>Cuts every connection of a pipeline stream, as a network would.</summary>
    public void Abort()
    {
        foreach (ServerCallContext call in _calls.Keys)
        {
            try
            {
                call.GetHttpContext().Abort();
            }
            catch (ObjectDisposedException)
            {
                // It has just ended by itself.
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_app is not null)
        {
            Abort();
            using CancellationTokenSource patience = new(TimeSpan.FromMilliseconds(200));
            try
            {
                await _app.StopAsync(patience.Token);
            }
            catch (OperationCanceledException)
            {
                // Watch streams that a client still holds are cut when patience ends.
            }

            await _app.DisposeAsync();
        }
    }

    private sealed class Pipeline(FakeNode node) : KvPipelineServiceBase
    {
        public override async Task Run(IAsyncStreamReader<RawFrame> requests, IServerStreamWriter<RawFrame> responses, ServerCallContext context)
        {
            node._calls[context] = true;
            node.MeantCluster = context.RequestHeaders.GetValue(PipelineMethods.ClusterHeader);
            using FrameBuffer buffer = new(KvLimits.MaxMessageBytes);
            try
            {
                while (await requests.MoveNext(context.CancellationToken))
                {
                    buffer.Clear();
                    Answer(requests.Current.Bytes, Interlocked.Increment(ref node._frames), buffer);
                    if (buffer.WrittenCount > 0)
                    {
                        await responses.WriteAsync(new RawFrame(buffer.WrittenMemory));
                    }
                }
            }
            catch (Exception) when (context.CancellationToken.IsCancellationRequested)
            {
                // The client has gone, or the test has cut the connection.
            }
            finally
            {
                node._calls.TryRemove(context, out _);
            }
        }

        private void Answer(ReadOnlyMemory<byte> frame, int number, FrameBuffer buffer)
        {
            OperationBatchReader reader = new(frame);
            while (reader.MoveNext(out WireOperation operation))
            {
                node.Received.Enqueue(new Received(node.Id, operation, number));
                if (node.Script(operation) is { } result)
                {
                    result.CallId = operation.CallId;
                    result.Node = node.Id;
                    PipelineCodec.WriteResult(buffer, result);
                }
            }
        }
    }

    private sealed class Operators(FakeNode node) : Admin.AdminBase
    {
        public override Task<NodeStatusResponse> NodeStatus(NodeStatusRequest request, ServerCallContext context) =>
            Task.FromResult(new NodeStatusResponse { Node = node.Id, ReplicaCount = request.Replicas ? 1U : 0 });

        public override Task<Keyspace> CreateKeyspace(CreateKeyspaceRequest request, ServerCallContext context)
        {
            Refusal refusal = new() { Outcome = Outcome.NotDone, Code = Code.NoQuorum, Reason = "scripted: no quorum for the system shard", Retryable = true };
            Metadata trailers = new() { { "kvstore-refusal-bin", Google.Protobuf.MessageExtensions.ToByteArray(refusal) } };
            return node.Id == 1
                ? throw new RpcException(new Status(StatusCode.Unavailable, "no quorum"), trailers)
                : Task.FromResult(new Keyspace { Id = 8, Name = request.Name, Policy = request.Policy });
        }
    }

    private sealed class Watch(FakeNode node) : Kv.KvBase
    {
        public override async Task WatchTopology(WatchTopologyRequest request, IServerStreamWriter<Topology> responseStream, ServerCallContext context)
        {
            Topology topology = (await node.Topology.Task.WaitAsync(context.CancellationToken)).Clone();
            topology.Node = node.Id;
            await responseStream.WriteAsync(topology);
            TaskCompletionSource gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
            await using CancellationTokenRegistration registration = context.CancellationToken.Register(gone.SetResult);
            await gone.Task;
        }
    }
}
