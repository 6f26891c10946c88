using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Loops;

namespace KvStore.Node.Catalog;

/// <summary>
/// Follows the catalog record in this node's own replica of the system shard, and opens the replicas that it places here. Looks once per tick, on the loop of the system shard: the record changes rarely,
/// and a look is one table lookup.
/// </summary>
internal sealed class CatalogFollower(ClusterCatalog initial, uint generation, LoopSet loops, TopologyFeed topology, Action<ClusterCatalog> adopted, Func<int> seed, ILogger<CatalogFollower> log)
{
    private LogIndex _seen;

    /// <summary>Publishes what the configuration says, and opens the system shard.</summary>
    public void Start()
    {
        loops.Router.Publish(initial);
        loops.Ticked += OnTick;
        Open(initial.Keyspaces[0], 0, new CatalogReplica(loops.Self, ClusterCatalog.SystemReplica(loops.Self, generation)));
        OpenAll(initial);
    }

    private void OnTick(ShardLoop loop)
    {
        if (loop.Find(ShardId.System) is not { } system || !system.TryPeek(ClusterCatalog.RecordKey, out ReadOnlyMemory<byte> record, out LogIndex version) || version == _seen)
        {
            return;
        }

        _seen = version;
        ClusterCatalog catalog = CatalogCodec.Decode(record.Span);
        CatalogLog.Changed(log, catalog.Revision, catalog.Keyspaces.Length, catalog.Members.Length);
        loops.Router.Publish(catalog);
        adopted(catalog);
        topology.OnChanged();
        OpenAll(catalog);
    }

    private void OpenAll(ClusterCatalog catalog)
    {
        foreach (CatalogKeyspace keyspace in catalog.Keyspaces)
        {
            for (int number = 0; number < keyspace.Shards.Length; number++)
            {
                CatalogReplica own = keyspace.Shards[number].FirstOrDefault(replica => replica.Node == loops.Self);
                if (!own.Node.IsNone)
                {
                    Open(keyspace, number, own);
                }
            }
        }
    }

    private void Open(CatalogKeyspace keyspace, int number, CatalogReplica own)
    {
        ShardDescriptor descriptor = keyspace.Describe(number, own);
        var random = new Random(seed());
        loops.LoopOf(descriptor.Shard).Post(on => on.Open(descriptor, random));
    }
}
