using Google.Protobuf;
using Grpc.Core;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Node.Catalog;
using KvStore.Node.Loops;
using KvStore.Node.Watching;

namespace KvStore.Node.Clients;

/// <summary>kvstore.v1.Kv: one unary call per operation, and the topology stream.</summary>
internal sealed class KvService(OperationExecutor executor, KeyspaceScan scan, LoopSet loops, TopologyFeed topology, WatchHub watches) : Kv.KvBase
{
    public override Task<Result> Get(GetRequest request, ServerCallContext context) => RunAsync(
        request.Keyspace,
        new WireOperation { Kind = OperationKind.Get, Key = request.Key.Memory, Level = request.Level, MaxStalenessMs = request.MaxStalenessMs, RequireStrong = request.RequireStrong },
        context,
        request.Session);

    public override Task<Result> Put(PutRequest request, ServerCallContext context) => RunAsync(
        request.Keyspace,
        WithRequest(
            new WireOperation
            {
                Kind = OperationKind.Put,
                Key = request.Key.Memory,
                Value = request.Value.Memory,
                Condition = request.Condition,
                Version = request.Version.Memory,
                TtlMs = request.TtlMs,
                RequireStrong = request.RequireStrong,
            },
            request.Request),
        context,
        request.Session);

    public override Task<Result> Delete(DeleteRequest request, ServerCallContext context) => RunAsync(
        request.Keyspace,
        WithRequest(new WireOperation { Kind = OperationKind.Delete, Key = request.Key.Memory, Condition = request.Condition, Version = request.Version.Memory, RequireStrong = request.RequireStrong }, request.Request),
        context,
        request.Session);

    public override Task<Result> Increment(IncrementRequest request, ServerCallContext context) => RunAsync(
        request.Keyspace,
        WithRequest(
            new WireOperation
            {
                Kind = OperationKind.Increment,
                Key = request.Key.Memory,
                Delta = request.Delta,
                TtlMs = request.TtlMs,
                MayHaveHappened = request.MayHaveHappened,
            },
            request.Request),
        context,
        request.Session);

    public override Task<Result> Transact(TransactRequest request, ServerCallContext context)
    {
        Transaction transaction = request.Transaction ?? new Transaction();
        var operation = new WireOperation { Kind = OperationKind.Transaction, Key = TransactionMapper.AnyKey(transaction), Transaction = transaction.ToByteArray() };
        return RunAsync(request.Keyspace, WithRequest(operation, request.Request), context, request.Session);
    }

    public override Task<ScanPage> Scan(ScanRequest request, ServerCallContext context) => scan.ReadAsync(
        Find(request.Keyspace),
        request.Prefix.Memory,
        request.After.Memory,
        request.Limit == 0 ? KvLimits.DefaultScanRecords : (int)Math.Min(request.Limit, KvLimits.MaxScanRecords),
        request.Level,
        request.MaxStalenessMs,
        session: null,
        TimeoutOf(context),
        ResultMessages.RefusalOf,
        context.CancellationToken);

    public override async Task WatchTopology(WatchTopologyRequest request, IServerStreamWriter<Topology> responseStream, ServerCallContext context)
    {
        try
        {
            for (long seen = -1; ;)
            {
                seen = await topology.WaitForNewerAsync(seen, context.CancellationToken);
                await responseStream.WriteAsync(topology.Current(), context.CancellationToken);
            }
        }
        catch (Exception gone) when (gone is OperationCanceledException or IOException or InvalidOperationException)
        {
            // The client went away, which is how these streams end.
        }
    }

    public override async Task Watch(WatchRequest request, IServerStreamWriter<WatchBatch> responseStream, ServerCallContext context)
    {
        try
        {
            await using WatchStream stream = await watches.OpenAsync(request, context.CancellationToken);
            while (await stream.NextAsync(context.CancellationToken) is { } batch)
            {
                await responseStream.WriteAsync(batch, context.CancellationToken);
            }
        }
        catch (WatchRefusedException refused)
        {
            throw ResultMessages.RefusalOf(new Result { Outcome = Outcome.NotDone, Code = refused.Code, Reason = refused.Message, Retryable = refused.Retryable });
        }
        catch (Exception gone) when (gone is OperationCanceledException or IOException or InvalidOperationException)
        {
            // The client went away, which is how most watches end.
        }
    }

    private static WireOperation WithRequest(WireOperation operation, RequestId? request)
    {
        if (request is not null)
        {
            operation.Session = request.Session;
            operation.Sequence = request.Sequence;
            operation.AcknowledgedFloor = request.AcknowledgedFloor;
        }

        return operation;
    }

    private async Task<Result> RunAsync(string keyspace, WireOperation operation, ServerCallContext context, ByteString session)
    {
        CatalogKeyspace found = Find(keyspace);
        operation.KeyspaceId = found.Id;
        operation.TimeoutMs = TimeoutOf(context);
        var unary = UnarySession.Open(session, loops.Router.Catalog.ClusterId);
        int shard = KeyRouting.ShardOf(operation.Key.Span, found.Shards.Length);
        operation.SessionPosition = unary.PositionIn(found.Id, shard);
        Result result = ResultMessages.ThrowIfRefused(await executor.ExecuteAsync(operation, context.CancellationToken));
        unary.Learn(found.Id, shard, result.Session);
        result.Session = unary.ToToken();
        return result;
    }

    /// <summary>What the call's deadline leaves, in milliseconds; 0 where it has none.</summary>
    private static uint TimeoutOf(ServerCallContext context) =>
        context.Deadline == DateTime.MaxValue ? 0 : (uint)Math.Clamp((context.Deadline - DateTime.UtcNow).TotalMilliseconds, 1, KvLimits.MaxTimeoutMs);

    private CatalogKeyspace Find(string name)
    {
        if (name.Length == 0)
        {
            throw new RpcException(new Status(StatusCode.NotFound, "The request names no keyspace."));
        }

        return loops.Router.Require(name, "create it with 'kv keyspace create'") is { Id: > 0 } keyspace
            ? keyspace
            : throw new RpcException(new Status(StatusCode.NotFound, $"The keyspace '{name}' is the system's own."));
    }
}
