using System.Diagnostics.Metrics;
using KvStore.Core.Identity;
using KvStore.Node.Catalog;
using KvStore.Node.Peers;

namespace KvStore.Node.Loops;

/// <summary>What a node counts for monitoring.</summary>
internal static class NodeMetrics
{
    public const string MeterName = "KvStore.Node";

    public const string LostWritesName = "kvstore.lost_writes";

    public const string LosersDroppedName = "kvstore.losers_dropped";

    private static readonly Meter Meter = new(MeterName);

    private static readonly Counter<long> LostWrites = Meter.CreateCounter<long>(
        LostWritesName, "{write}", "Writes that this node acknowledged before their commit (async and best-effort) and that a failover took; see 'kv keyspace lost-writes'.");

    private static readonly Counter<long> LosersDropped = Meter.CreateCounter<long>(
        LosersDroppedName, "{value}", "Concurrent values of last-writer-wins keyspaces that this node has dropped for good because another value won.");

    private static readonly Counter<long> Evictions = Meter.CreateCounter<long>(
        "kvstore.evictions", "{object}", "Objects of keyspaces in memory that this node has evicted for want of room.");

    private static readonly Counter<long> MemoryLosses = Meter.CreateCounter<long>(
        "kvstore.memory_losses", "{shard}", "How often a shard in memory was lost because all its replicas had restarted.");

    public static void OnEvictions(ShardRouter router, ShardId shard, long count) => Evictions.Add(count, KeyspaceOf(router, shard));

    public static void OnMemoryLost(ShardRouter router, ShardId shard) => MemoryLosses.Add(1, KeyspaceOf(router, shard));

    private static readonly Gauge<double> ClockOffset = Meter.CreateGauge<double>(
        "kvstore.clock_offset", "ms", "A peer's wall clock minus this node's, as heartbeats measure it.");

    public static void OnClocks(PeerView view)
    {
        if (!ClockOffset.Enabled)
        {
            return;
        }

        foreach (PeerLiveness peer in view.Peers)
        {
            if (!double.IsNaN(peer.ClockSkewMs))
            {
                ClockOffset.Record(peer.ClockSkewMs, new KeyValuePair<string, object?>("peer", peer.Node.Value));
            }
        }
    }

    public static void OnLosersDropped(ShardRouter router, ShardId shard, long count) => LosersDropped.Add(count, KeyspaceOf(router, shard));

    public static void OnLostWrites(ShardRouter router, ShardId shard, long count) =>
        LostWrites.Add(count, KeyspaceOf(router, shard));

    private static KeyValuePair<string, object?> KeyspaceOf(ShardRouter router, ShardId shard) =>
        new("keyspace", router.TryFind(shard.Keyspace, out KeyspaceRoute route) ? route.Name : "");
}
