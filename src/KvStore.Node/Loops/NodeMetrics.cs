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
