using System.Collections.Frozen;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;

namespace KvStore.Node.Catalog;

/// <summary>What routing needs of a keyspace.</summary>
internal readonly record struct KeyspaceRoute(string Name, KeyspaceMode Mode, Epoch Epoch, int ShardCount, ReadLevel DefaultReadLevel = ReadLevel.Default);

/// <summary>
/// Where keys live, for every thread of the node: an immutable catalog, swapped whole when the system shard brings a new one.
/// </summary>
internal sealed class ShardRouter(NodeId self)
{
    private volatile bool _hasReadCatalog;
    private volatile ClusterCatalog _catalog = ClusterCatalog.Empty;
    private volatile FrozenDictionary<uint, CatalogKeyspace> _byId = FrozenDictionary<uint, CatalogKeyspace>.Empty;
    private volatile FrozenDictionary<string, CatalogKeyspace> _byName = FrozenDictionary<string, CatalogKeyspace>.Empty;

    public ClusterCatalog Catalog => _catalog;

    /// <summary>This node has read, since its start, which keyspaces there are. Before that one that is not in <see cref="Catalog"/> may exist all the same.</summary>
    public bool HasReadCatalog { get => _hasReadCatalog; set => _hasReadCatalog = value; }

    public void Publish(ClusterCatalog catalog)
    {
        _byId = catalog.Keyspaces.ToFrozenDictionary(keyspace => keyspace.Id);
        _byName = catalog.Keyspaces.ToFrozenDictionary(keyspace => keyspace.Name);
        _catalog = catalog;
    }

    public bool TryFind(uint keyspaceId, out KeyspaceRoute route)
    {
        if (_byId.TryGetValue(keyspaceId, out CatalogKeyspace? keyspace))
        {
            route = new KeyspaceRoute(keyspace.Name, keyspace.Mode, keyspace.Epoch, keyspace.Shards.Length, keyspace.DefaultReadLevel);
            return true;
        }

        route = default;
        return false;
    }

    public CatalogKeyspace? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>
    /// A node that has a replica of a shard which this node has none of, for what any replica may answer: of those that the detector calls reachable the one that heartbeats reach and come back from soonest.
    /// </summary>
    public NodeId NearestReplicaNodeFor(ShardId shard, IReadOnlySet<NodeId> unreachable, Func<NodeId, double> roundTripMs)
    {
        NodeId nearest = ReplicaNodeFor(shard, unreachable);
        if (nearest.IsNone || unreachable.Contains(nearest) || !_byId.TryGetValue(shard.Keyspace, out CatalogKeyspace? keyspace))
        {
            return nearest;
        }

        foreach (CatalogReplica replica in keyspace.Shards[shard.Number])
        {
            if (replica.Node != self && !unreachable.Contains(replica.Node) && roundTripMs(replica.Node) < roundTripMs(nearest))
            {
                nearest = replica.Node;
            }
        }

        return nearest;
    }

    /// <summary>A node that has a replica of a shard which this node has none of: the first in placement order that the detector calls reachable, the same for all, so that writes of one key meet each other.</summary>
    public NodeId ReplicaNodeFor(ShardId shard, IReadOnlySet<NodeId> unreachable)
    {
        if (!_byId.TryGetValue(shard.Keyspace, out CatalogKeyspace? keyspace) || shard.Number >= keyspace.Shards.Length)
        {
            return default;
        }

        NodeId any = default;
        foreach (CatalogReplica replica in keyspace.Shards[shard.Number])
        {
            if (replica.Node == self)
            {
                continue;
            }

            if (!unreachable.Contains(replica.Node))
            {
                return replica.Node;
            }

            any = replica.Node;
        }

        return any;
    }
}
