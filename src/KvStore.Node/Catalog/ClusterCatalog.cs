using System.Collections.Immutable;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;

namespace KvStore.Node.Catalog;

internal sealed record CatalogMember(NodeId Node, string Address, double Weight);

internal readonly record struct CatalogReplica(NodeId Node, ReplicaId Replica);

internal sealed record CatalogKeyspace(uint Id, string Name, KeyspaceMode Mode, Epoch Epoch, ImmutableArray<ImmutableArray<CatalogReplica>> Shards)
{
    public MaxLag MaxLag { get; init; } = MaxLag.Default;

    public ShardDescriptor Describe(int shard, NodeId self) =>
        new(new ShardId(Id, shard), Epoch, Mode, [.. Shards[shard].Select(replica => new ReplicaPlace(replica.Node, replica.Replica))], self) { MaxLag = MaxLag };
}

/// <summary>
/// Members, keyspaces and shard map of the cluster: one immutable value, kept as one record in the system shard, so that every change is one compare-and-set.
/// </summary>
internal sealed record ClusterCatalog
{
    public static readonly ClusterCatalog Empty = new() { ClusterId = "" };

    /// <summary>The keyspace that holds the catalog. Its shard map is fixed by the configuration, not by itself.</summary>
    public const string SystemKeyspaceName = "_system";

    /// <summary>The key of the record in the system shard.</summary>
    public static ReadOnlySpan<byte> RecordKey => "catalog"u8;

    public required string ClusterId { get; init; }

    /// <summary>Counts up with every change.</summary>
    public ulong Revision { get; init; }

    public ImmutableArray<CatalogMember> Members { get; init; } = [];

    public ImmutableArray<CatalogKeyspace> Keyspaces { get; init; } = [];

    public uint NextKeyspaceId { get; init; } = 1;

    /// <summary>Replica ids are handed out once. Those of the system shard are the node ids; these begin above them.</summary>
    public ulong NextReplicaId { get; init; } = NodeId.Max + 1;

    /// <summary>The catalog before anything was created: the configured members and the system keyspace over all of them.</summary>
    public static ClusterCatalog Initial(string clusterId, IEnumerable<CatalogMember> members)
    {
        ImmutableArray<CatalogMember> sorted = [.. members.OrderBy(member => member.Node)];
        return new ClusterCatalog
        {
            ClusterId = clusterId,
            Members = sorted,
            Keyspaces =
            [
                new CatalogKeyspace(
                    0,
                    SystemKeyspaceName,
                    new KeyspaceMode(PartitionChoice.Cp, Replication.Sync),
                    new Epoch(1),
                    [[.. sorted.Select(member => new CatalogReplica(member.Node, new ReplicaId(member.Node.Value)))]]),
            ],
        };
    }
}
