using System.Collections.Immutable;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;

namespace KvStore.Node.Catalog;

/// <summary>How far a member is on its way in or out.</summary>
internal enum MemberState : byte
{
    Settled = 0,
    Joining = 1,
    Leaving = 2,
}

/// <param name="Generation">How often the node under this id was replaced.</param>
internal sealed record CatalogMember(NodeId Node, string Address, double Weight, uint Generation = 0)
{
    public MemberState State { get; init; }
}

internal readonly record struct CatalogReplica(NodeId Node, ReplicaId Replica)
{
    public ReplicaPlace ToPlace() => new(Node, Replica);
}

/// <param name="Shards">Where the replicas of each shard shall live. The leaders bring the shards' members to it.</param>
/// <param name="Founders">The replicas with which each shard was created: what its configuration log begins with, for good.</param>
internal sealed record CatalogKeyspace(
    uint Id, string Name, KeyspaceMode Mode, Epoch Epoch, ImmutableArray<ImmutableArray<CatalogReplica>> Shards, ImmutableArray<ImmutableArray<CatalogReplica>> Founders)
{
    /// <summary>How far acknowledgements may run ahead of the commit.</summary>
    public MaxLag MaxLag { get; init; } = MaxLag.Default;

    /// <summary>Adaptive: after how long without a leader a replica serves provisionally.</summary>
    public ProvisionalAfter ProvisionalAfter { get; init; } = ProvisionalAfter.Default;

    /// <summary>How long values live that are written without a time to live, in milliseconds. Zero: for ever.</summary>
    public ulong DefaultTtlMs { get; init; }

    /// <summary>Of reads that state none; Default: what the policy says.</summary>
    public ReadLevel DefaultReadLevel { get; init; }

    /// <summary>The mode with which it was created: what each shard's configuration log begins with, for good. <see cref="Mode"/> is what it is set to now.</summary>
    public KeyspaceMode FoundingMode { get; init; } = Mode;

    /// <summary>How often its settings were altered.</summary>
    public uint Alterations { get; init; }

    /// <summary>What is shown of concurrent values.</summary>
    public ConflictRule Conflicts { get; init; } = ConflictRule.Siblings;

    /// <summary>How many replicas each shard shall have where there are members enough. Catalogs of earlier versions don't say: then as many as it was created with.</summary>
    public int WantedReplicas { get; init; } = Founders.IsDefaultOrEmpty ? 0 : Founders[0].Length;

    /// <summary>Not zero: the data lives in memory only, and one copy takes at most so much, over all shards.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>A keyspace as it is created.</summary>
    public CatalogKeyspace(uint id, string name, KeyspaceMode mode, Epoch epoch, ImmutableArray<ImmutableArray<CatalogReplica>> shards)
        : this(id, name, mode, epoch, shards, shards)
    {
    }

    /// <summary>The shard as this replica of it must know it.</summary>
    public ShardDescriptor Describe(int shard, CatalogReplica self) =>
        new(new ShardId(Id, shard), Epoch, FoundingMode, [.. Founders[shard].Select(founder => founder.ToPlace())], self.ToPlace())
        {
            MaxLag = MaxLag,
            ProvisionalAfter = ProvisionalAfter,
            Conflicts = Conflicts,
            MemoryBytes = MemoryBytes / Shards.Length,
            DefaultTtlMs = DefaultTtlMs,
        };
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

    /// <summary>The ids of members that were removed, in order. None is ever used again: peers remember its directory, and the system shard its replica.</summary>
    public ImmutableArray<NodeId> Removed { get; init; } = [];

    public uint NextKeyspaceId { get; init; } = 1;

    /// <summary>Replica ids are handed out once. Those of the system shard follow from the node (<see cref="SystemReplica"/>); these begin above the node ids.</summary>
    public ulong NextReplicaId { get; init; } = NodeId.Max + 1;

    /// <summary>Whether a member is on its way in or out.</summary>
    public bool IsChanging
    {
        get
        {
            foreach (CatalogMember member in Members)
            {
                if (member.State != MemberState.Settled)
                {
                    return true;
                }
            }

            return false;
        }
    }

    public CatalogMember? Find(NodeId node) => Members.FirstOrDefault(member => member.Node == node);

    /// <summary>The replica of the system shard on a node: a node must know its own before it can read any catalog. A replaced node has another one, since ids are never used twice.</summary>
    public static ReplicaId SystemReplica(NodeId node, uint generation) => new(((ulong)generation << 16) | node.Value);

    /// <summary>The catalog with another node in the place of this one, under its id: a new generation with new replica ids.</summary>
    public ClusterCatalog WithReplaced(NodeId node, out int shards)
    {
        CatalogMember member = Members.First(each => each.Node == node);
        uint generation = member.Generation + 1;
        ulong next = NextReplicaId;
        int replaced = 0;
        CatalogReplica Successor(CatalogKeyspace keyspace, CatalogReplica replica)
        {
            if (replica.Node != node)
            {
                return replica;
            }

            replaced++;
            return new CatalogReplica(node, keyspace.Name == SystemKeyspaceName ? SystemReplica(node, generation) : new ReplicaId(next++));
        }

        ImmutableArray<CatalogKeyspace> keyspaces =
            [.. Keyspaces.Select(keyspace => keyspace with { Shards = [.. keyspace.Shards.Select(shard => shard.Select(replica => Successor(keyspace, replica)).ToImmutableArray())] })];
        shards = replaced;
        return this with
        {
            Revision = Revision + 1,
            Members = Members.Replace(member, member with { Generation = generation }),
            Keyspaces = keyspaces,
            NextReplicaId = next,
        };
    }

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
                    [[.. sorted.Select(member => new CatalogReplica(member.Node, SystemReplica(member.Node, 0)))]]),
            ],
        };
    }
}
