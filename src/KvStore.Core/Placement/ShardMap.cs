using System.Collections.Immutable;
using KvStore.Core.Identity;

namespace KvStore.Core.Placement;

/// <summary>One replica of one shard, and the node it lives on.</summary>
public readonly record struct ReplicaPlace(NodeId Node, ReplicaId Replica);

/// <summary>
/// Which nodes hold which shards: immutable, swapped whole, numbered. Invariants: 1. no shard has two replicas on one node; 2. no replica id stands twice in one shard; 3. an
/// epoch describes one map for ever.
/// </summary>
public sealed class ShardMap
{
    /// <summary>What a node knows that knows nothing.</summary>
    public static readonly ShardMap Empty = new(default, ImmutableSortedDictionary<ShardId, ImmutableArray<ReplicaPlace>>.Empty);

    private readonly ImmutableSortedDictionary<ShardId, ImmutableArray<ReplicaPlace>> _shards;

    private ShardMap(Epoch epoch, ImmutableSortedDictionary<ShardId, ImmutableArray<ReplicaPlace>> shards)
    {
        Epoch = epoch;
        _shards = shards;
    }

    /// <summary>Counts the maps; the higher one is the newer one.</summary>
    public Epoch Epoch { get; }

    /// <summary>All shards, in the order of their ids.</summary>
    public IEnumerable<ShardId> Shards => _shards.Keys;

    public static ShardMap Of(Epoch epoch, IEnumerable<KeyValuePair<ShardId, ImmutableArray<ReplicaPlace>>> shards)
    {
        ImmutableSortedDictionary<ShardId, ImmutableArray<ReplicaPlace>>.Builder builder = ImmutableSortedDictionary.CreateBuilder<ShardId, ImmutableArray<ReplicaPlace>>();
        foreach ((ShardId shard, ImmutableArray<ReplicaPlace> places) in shards)
        {
            Check(places);
            builder.Add(shard, places);
        }

        return new ShardMap(epoch, builder.ToImmutable());
    }

    /// <summary>The replicas of a shard; empty for a shard that the map doesn't know.</summary>
    public ImmutableArray<ReplicaPlace> ReplicasOf(ShardId shard) => _shards.TryGetValue(shard, out ImmutableArray<ReplicaPlace> places) ? places : [];

    /// <summary>The node a replica lives on, or none.</summary>
    public NodeId NodeOf(ShardId shard, ReplicaId replica)
    {
        foreach (ReplicaPlace place in ReplicasOf(shard))
        {
            if (place.Replica == replica)
            {
                return place.Node;
            }
        }

        return default;
    }

    /// <summary>The replica of a shard that lives on a node, or none.</summary>
    public ReplicaId ReplicaOn(ShardId shard, NodeId node)
    {
        foreach (ReplicaPlace place in ReplicasOf(shard))
        {
            if (place.Node == node)
            {
                return place.Replica;
            }
        }

        return default;
    }

    /// <summary>The next map, in which one shard is placed anew.</summary>
    public ShardMap With(ShardId shard, ImmutableArray<ReplicaPlace> places)
    {
        Check(places);
        return new ShardMap(Epoch.Next, _shards.SetItem(shard, places));
    }

    /// <summary>The next map, without the shards of a keyspace that was dropped.</summary>
    public ShardMap WithoutKeyspace(uint keyspace) => new(Epoch.Next, _shards.RemoveRange(_shards.Keys.Where(shard => shard.Keyspace == keyspace)));

    private static void Check(ImmutableArray<ReplicaPlace> places)
    {
        for (int i = 0; i < places.Length; i++)
        {
            Invariant.Assert(!places[i].Node.IsNone && !places[i].Replica.IsNone);
            for (int j = 0; j < i; j++)
            {
                Invariant.Assert(places[i].Node != places[j].Node && places[i].Replica != places[j].Replica);
            }
        }
    }
}
