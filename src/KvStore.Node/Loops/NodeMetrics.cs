using System.Diagnostics.Metrics;
using KvStore.Core.Identity;
using KvStore.Node.Catalog;

namespace KvStore.Node.Loops;

/// <summary>What a node counts for monitoring.</summary>
internal static class NodeMetrics
{
    public const string MeterName = "KvStore.Node";

    public const string LostWritesName = "kvstore.lost_writes";

    private static readonly Meter Meter = new(MeterName);

    private static readonly Counter<long> LostWrites = Meter.CreateCounter<long>(
        LostWritesName, "{write}", "Writes that this node acknowledged before their commit (async and best-effort) and that a failover took; see 'kv keyspace lost-writes'.");

    private static readonly Counter<long> DigestDifferences = Meter.CreateCounter<long>(
        "kvstore.digest_differences", "{comparison}", "Comparisons of two replicas with equal clocks whose data was not equal: one of them is damaged.");

    public static void OnLostWrites(ShardRouter router, ShardId shard, long count) =>
        LostWrites.Add(count, new KeyValuePair<string, object?>("keyspace", router.TryFind(shard.Keyspace, out KeyspaceRoute route) ? route.Name : ""));

    public static void OnDigestsDiffer(ShardRouter router, ShardId shard) =>
        DigestDifferences.Add(1, new KeyValuePair<string, object?>("keyspace", router.TryFind(shard.Keyspace, out KeyspaceRoute route) ? route.Name : ""));
}
