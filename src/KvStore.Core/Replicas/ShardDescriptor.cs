using System.Collections.Immutable;
using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>One replica of a shard: on which node, and under which Raft id.</summary>
public readonly record struct ReplicaPlace(NodeId Node, ReplicaId Replica);

/// <summary>What a replica must know of its shard. Immutable: a change of the shard map brings a new one.</summary>
public sealed class ShardDescriptor
{
    public ShardDescriptor(ShardId shard, Epoch epoch, KeyspaceMode mode, ImmutableArray<ReplicaPlace> places, NodeId self)
    {
        Invariant.Assert(mode.Contradiction is null);
        Invariant.Assert(places.Length > 0);
        Shard = shard;
        Epoch = epoch;
        Mode = mode;
        Places = places;
        Self = places.First(place => place.Node == self);
        Peers = [.. places.Where(place => place.Node != self)];
    }

    public ShardId Shard { get; }

    public Epoch Epoch { get; }

    public KeyspaceMode Mode { get; }

    /// <summary>How far async and best-effort acknowledgements may run ahead of the commit.</summary>
    public MaxLag MaxLag { get; init; } = MaxLag.Default;

    public ImmutableArray<ReplicaPlace> Places { get; }

    public ReplicaPlace Self { get; }

    /// <summary>All places but this replica's own.</summary>
    public ImmutableArray<ReplicaPlace> Peers { get; }

    public NodeId NodeOf(ReplicaId replica)
    {
        foreach (ReplicaPlace place in Places)
        {
            if (place.Replica == replica)
            {
                return place.Node;
            }
        }

        return default;
    }
}
