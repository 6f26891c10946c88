using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Loops;

namespace KvStore.Node.Catalog;

/// <summary>
/// Follows the catalog record in this node's own replica of the system shard, opens the replicas that it places here, and destroys those of keyspaces that were deleted. Looks once per tick, on the loop of the system shard: the record changes rarely,
/// and a look is one table lookup.
/// </summary>
internal sealed class CatalogFollower(ClusterCatalog initial, uint generation, LoopSet loops, TopologyFeed topology, Action<ClusterCatalog> adopted, Func<int> seed, ILogger<CatalogFollower> log)
{
    /// <summary>Shards other than the system's that may have something on this node: what the last process left, and what was opened since. On the system shard's loop only.</summary>
    private readonly HashSet<ShardId> _held = [.. loops.Storage.RecoveredShards.Where(shard => shard.Keyspace > 0)];

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
        DestroyDeleted(catalog);
        OpenAll(catalog);
    }

    /// <summary>
    /// Only what the catalog must know if it were there: ids are given out in order and never again, so one that is not in it and below the next was deleted. After a restart the record may be an older one for a
    /// while; what was created since it has higher ids, and stays.
    /// </summary>
    private void DestroyDeleted(ClusterCatalog catalog)
    {
        HashSet<uint> known = [.. catalog.Keyspaces.Select(keyspace => keyspace.Id)];
        foreach (ShardId shard in _held.Where(shard => shard.Keyspace < catalog.NextKeyspaceId && !known.Contains(shard.Keyspace)).ToList())
        {
            _held.Remove(shard);
            loops.LoopOf(shard).Post(on => on.Destroy(shard));
        }
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
        if (keyspace.Id > 0)
        {
            _held.Add(descriptor.Shard);
        }

        loops.LoopOf(descriptor.Shard).Post(on => on.Open(descriptor, random));
    }
}
