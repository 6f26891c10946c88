using KvStore.Core.Identity;
using KvStore.Node.Loops;

namespace KvStore.Node.Catalog;

/// <summary>
/// Follows the catalog record in this node's own replica of the system shard, opens the replicas that it places here, and destroys those that have nothing to do here any more. Looks once per tick, on the loop of the system shard: the record
/// changes rarely, and a look is one table lookup.
/// </summary>
internal sealed class CatalogFollower(ClusterCatalog initial, uint generation, LoopSet loops, TopologyFeed topology, Action<ClusterCatalog> adopted, Func<int> seed, ILogger<CatalogFollower> log)
{
    private readonly ReplicaMoves _replicas = new(loops, generation, seed, log);
    private LogIndex _seen;

    /// <summary>Publishes what the configuration says, and opens the system shard.</summary>
    public void Start()
    {
        loops.Router.Publish(initial);
        loops.Ticked += OnTick;
        _replicas.Place(initial.Keyspaces[0].Describe(0, new CatalogReplica(loops.Self, ClusterCatalog.SystemReplica(loops.Self, generation))));
        PlaceAll(initial);
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
        DestroyDeleted(catalog);
        PlaceAll(catalog);
        topology.OnPlaced(catalog);
    }

    /// <summary>
    /// Only what the catalog must know if it were there: ids are given out in order and never again, so one that is not in it and below the next was deleted. After a restart the record may be an older one for a
    /// while; what was created since it has higher ids, and stays.
    /// </summary>
    private void DestroyDeleted(ClusterCatalog catalog)
    {
        HashSet<uint> known = [.. catalog.Keyspaces.Select(keyspace => keyspace.Id)];
        foreach (ShardId shard in _replicas.Shards.Where(shard => shard.Keyspace < catalog.NextKeyspaceId && !known.Contains(shard.Keyspace)))
        {
            _replicas.Destroy(shard);
        }
    }

    private void PlaceAll(ClusterCatalog catalog)
    {
        HashSet<ShardId> elsewhere = [.. _replicas.Shards];
        foreach (CatalogKeyspace keyspace in catalog.Keyspaces)
        {
            for (int number = 0; number < keyspace.Shards.Length; number++)
            {
                CatalogReplica own = keyspace.Shards[number].FirstOrDefault(replica => replica.Node == loops.Self);
                if (!own.Node.IsNone)
                {
                    _replicas.Place(keyspace.Describe(number, own));
                    elsewhere.Remove(new ShardId(keyspace.Id, number));
                }
            }
        }

        // While members come and go the shards may not have settled without the replicas that are to go.
        if (!catalog.IsChanging && elsewhere.Count > 0)
        {
            Unplace(catalog, elsewhere);
        }
    }

    private void Unplace(ClusterCatalog catalog, HashSet<ShardId> elsewhere)
    {
        foreach (CatalogKeyspace keyspace in catalog.Keyspaces)
        {
            for (int number = 0; number < keyspace.Shards.Length; number++)
            {
                var shard = new ShardId(keyspace.Id, number);
                if (elsewhere.Contains(shard))
                {
                    _replicas.Unplace(keyspace, shard, catalog.NextReplicaId);
                }
            }
        }
    }
}
