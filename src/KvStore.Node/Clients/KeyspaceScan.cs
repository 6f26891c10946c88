using Google.Protobuf;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Node.Catalog;

namespace KvStore.Node.Clients;

/// <summary>One page of a whole keyspace: asks every shard for its share, and merges. For callers without the client's own merging.</summary>
internal sealed class KeyspaceScan(OperationExecutor executor)
{
    /// <param name="session">What the caller has seen, of all shards. Null: it has none.</param>
    /// <param name="refusal">What to throw for the answer of a shard that is none.</param>
    public async Task<ScanPage> ReadAsync(
        CatalogKeyspace keyspace,
        ReadOnlyMemory<byte> prefix,
        ReadOnlyMemory<byte> after,
        int limit,
        ReadLevel level,
        uint maxStalenessMs,
        UnarySession? session,
        uint timeoutMs,
        Func<Result, Exception> refusal,
        CancellationToken cancellation)
    {
        IEnumerable<Task<Result>> asked = Enumerable.Range(0, keyspace.Shards.Length).Select(shard => executor.ExecuteAsync(
            new WireOperation
            {
                Kind = OperationKind.Scan,
                KeyspaceId = keyspace.Id,
                Shard = (uint)shard,
                Key = prefix,
                After = after,
                Limit = (uint)limit,
                Level = level,
                MaxStalenessMs = maxStalenessMs,
                SessionPosition = session?.PositionIn(keyspace.Id, shard) ?? default,
                TimeoutMs = timeoutMs,
            },
            cancellation));
        Result[] answers = await Task.WhenAll(asked);
        if (Array.Find(answers, answer => answer.Outcome != Outcome.Done) is { } refused)
        {
            throw refusal(refused);
        }

        for (int shard = 0; shard < answers.Length; shard++)
        {
            session?.Learn(keyspace.Id, shard, answers[shard].Session);
        }

        // A shard whose page ended early bounds what can be told in order: nothing beyond its last key.
        ByteString? bound = answers.Where(answer => answer.More && answer.Items.Count > 0).Select(answer => answer.Items[^1].Key).MinBy(key => key, KeyOrder.Instance);
        List<ScanItem> merged = [.. answers.SelectMany(answer => answer.Items).OrderBy(item => item.Key, KeyOrder.Instance)];
        int within = bound is null ? merged.Count : merged.Count(item => KeyOrder.Instance.Compare(item.Key, bound) <= 0);
        var page = new ScanPage { More = within < merged.Count || within > limit || answers.Any(answer => answer.More) };
        page.Items.AddRange(merged.Take(Math.Min(within, limit)));
        return page;
    }

    private sealed class KeyOrder : IComparer<ByteString>
    {
        public static readonly KeyOrder Instance = new();

        public int Compare(ByteString? x, ByteString? y) => x!.Span.SequenceCompareTo(y!.Span);
    }
}
