using Google.Protobuf;
using Grpc.Core;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Node.Catalog;
using KvStore.Node.Loops;

namespace KvStore.Node.Clients;

/// <summary>kvstore.v1.Kv: one unary call per operation, and the topology stream.</summary>
internal sealed class KvService(OperationExecutor executor, LoopSet loops, TopologyFeed topology) : Kv.KvBase
{
    public override Task<Result> Get(GetRequest request, ServerCallContext context) => RunAsync(
        request.Keyspace,
        new WireOperation { Kind = OperationKind.Get, Key = request.Key.Memory, Level = request.Level, MaxStalenessMs = request.MaxStalenessMs },
        context,
        request.Session);

    public override Task<Result> Put(PutRequest request, ServerCallContext context) => RunAsync(
        request.Keyspace,
        WithRequest(
            new WireOperation { Kind = OperationKind.Put, Key = request.Key.Memory, Value = request.Value.Memory, Condition = request.Condition, Version = request.Version.Memory },
            request.Request),
        context,
        request.Session);

    public override Task<Result> Delete(DeleteRequest request, ServerCallContext context) => RunAsync(
        request.Keyspace,
        WithRequest(new WireOperation { Kind = OperationKind.Delete, Key = request.Key.Memory, Condition = request.Condition, Version = request.Version.Memory }, request.Request),
        context,
        request.Session);

    /// <summary>Asks every shard of the keyspace for its share, and merges.</summary>
    public override async Task<ScanPage> Scan(ScanRequest request, ServerCallContext context)
    {
        CatalogKeyspace keyspace = Find(request.Keyspace);
        int limit = request.Limit == 0 ? KvLimits.DefaultScanRecords : (int)Math.Min(request.Limit, KvLimits.MaxScanRecords);
        IEnumerable<Task<Result>> asked = Enumerable.Range(0, keyspace.Shards.Length).Select(shard => RunAsync(
            request.Keyspace,
            new WireOperation
            {
                Kind = OperationKind.Scan,
                Shard = (uint)shard,
                Key = request.Prefix.Memory,
                After = request.After.Memory,
                Limit = (uint)limit,
                Level = request.Level,
                MaxStalenessMs = request.MaxStalenessMs,
            },
            context,
            ByteString.Empty));
        Result[] answers = await Task.WhenAll(asked);

        // A shard whose page ended early bounds what can be told in order: nothing beyond its last key.
        ByteString? bound = answers.Where(answer => answer.More && answer.Items.Count > 0).Select(answer => answer.Items[^1].Key).MinBy(key => key, KeyOrder.Instance);
        List<ScanItem> merged = [.. answers.SelectMany(answer => answer.Items).OrderBy(item => item.Key, KeyOrder.Instance)];
        int within = bound is null ? merged.Count : merged.Count(item => KeyOrder.Instance.Compare(item.Key, bound) <= 0);
        var page = new ScanPage { More = within < merged.Count || within > limit || answers.Any(answer => answer.More) };
        page.Items.AddRange(merged.Take(Math.Min(within, limit)));
        return page;
    }

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
        UnarySession? unary = operation.Kind == OperationKind.Scan ? null : UnarySession.Open(session, loops.Router.Catalog.ClusterId);
        if (unary is not null)
        {
            operation.SessionPosition = unary.PositionIn(found.Id, KeyRouting.ShardOf(operation.Key.Span, found.Shards.Length));
        }

        if (context.Deadline != DateTime.MaxValue)
        {
            operation.TimeoutMs = (uint)Math.Clamp((context.Deadline - DateTime.UtcNow).TotalMilliseconds, 1, KvLimits.MaxTimeoutMs);
        }

        Result result = ResultMessages.ThrowIfRefused(await executor.ExecuteAsync(operation, context.CancellationToken));
        if (unary is not null)
        {
            result.Session = unary.After(result.Session);
        }

        return result;
    }

    private CatalogKeyspace Find(string name)
    {
        string reason = name.Length == 0
            ? "The request names no keyspace."
            : $"There is no keyspace '{(name.Length > KvLimits.MaxKeyspaceNameLength ? name[..KvLimits.MaxKeyspaceNameLength] : name)}'; create it with 'kv keyspace create'.";
        return loops.Router.Find(name) is { Id: > 0 } keyspace ? keyspace : throw new RpcException(new Status(StatusCode.NotFound, reason));
    }

    private sealed class KeyOrder : IComparer<ByteString>
    {
        public static readonly KeyOrder Instance = new();

        public int Compare(ByteString? x, ByteString? y) => x!.Span.SequenceCompareTo(y!.Span);
    }
}
