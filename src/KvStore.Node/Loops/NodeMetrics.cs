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

    private static readonly Counter<long> DigestDifferences = Meter.CreateCounter<long>(
        "kvstore.digest_differences", "{comparison}", "Comparisons of two replicas with equal clocks whose data was not equal: one of them is damaged.");

    private static readonly Counter<long> ProvisionalEpisodes = Meter.CreateCounter<long>(
        "kvstore.provisional_episodes", "{episode}", "How often a replica of an adaptive keyspace began to serve without a leader.");

    private static readonly Gauge<long> OverlayBytes = Meter.CreateGauge<long>(
        "kvstore.overlay.size", "By", "Writes that a replica took without a leader and that wait here to be merged.");

    private static readonly Gauge<double> OverlayAge = Meter.CreateGauge<double>("kvstore.overlay.age", "s", "For how long the oldest of them has waited.");

    public static void OnProvisional(ShardRouter router, ShardId shard) => ProvisionalEpisodes.Add(1, KeyspaceOf(router, shard));

    public static void OnOverlay(ShardRouter router, ShardId shard, long bytes, ulong ageMs)
    {
        var number = new KeyValuePair<string, object?>("shard", shard.Number);
        OverlayBytes.Record(bytes, KeyspaceOf(router, shard), number);
        OverlayAge.Record(ageMs / 1_000.0, KeyspaceOf(router, shard), number);
    }

    public const string LagName = "kvstore.replica.lag";

    public const string LagTimeName = "kvstore.replica.lag.time";

    private static readonly Gauge<long> Lag = Meter.CreateGauge<long>(
        LagName, "{write}", "Writes that are durable on this node and that a peer is not known to have: the most of any shard of the keyspace. Of ordered shards: as their leaders know.");

    private static readonly Gauge<double> LagTime = Meter.CreateGauge<double>(LagTimeName, "s", "For how long the peer has lacked something: the longest of any shard of the keyspace.");

    /// <summary>Whether anybody listens.</summary>
    public static bool WantsLag => Lag.Enabled || LagTime.Enabled;

    public static void OnLag(ShardRouter router, NodeId self, uint keyspace, NodeId peer, ulong missing, uint forMs)
    {
        KeyValuePair<string, object?>[] tags =
        [
            new("keyspace", router.TryFind(keyspace, out KeyspaceRoute route) ? route.Name : ""), new("node", self.Value), new("peer", peer.Value),
        ];
        Lag.Record((long)Math.Min(missing, long.MaxValue), tags);
        LagTime.Record(forMs / 1_000.0, tags);
    }

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

    public static void OnDigestsDiffer(ShardRouter router, ShardId shard) => DigestDifferences.Add(1, KeyspaceOf(router, shard));
}
