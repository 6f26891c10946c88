using KvStore.Contracts.V1;

namespace KvStore.Client;

/// <summary>The cluster at one moment, as one of its nodes knew it. Never changes.</summary>
/// <param name="ClusterId">Names the cluster.</param>
/// <param name="Revision">Counts up with every change of members or keyspaces.</param>
/// <param name="Members">All nodes.</param>
/// <param name="Keyspaces">All keyspaces.</param>
/// <param name="Node">The node that told.</param>
public sealed record KvTopology(string ClusterId, ulong Revision, IReadOnlyList<KvMember> Members, IReadOnlyList<KvKeyspaceInfo> Keyspaces, uint Node);

/// <summary>A node.</summary>
/// <param name="Node">Its id.</param>
/// <param name="Address">Where clients reach it, "host:port".</param>
/// <param name="Weight">Its share of the shards, relative to others.</param>
/// <param name="Generation">How often the node under this id was replaced by another one.</param>
public sealed record KvMember(uint Node, string Address, double Weight, uint Generation = 0)
{
    /// <summary>Whether it is on its way in or out.</summary>
    public MemberState State { get; init; }
}

/// <summary>A keyspace and where its shards live.</summary>
/// <param name="Id">Its id on the wire.</param>
/// <param name="Name">Its name.</param>
/// <param name="Policy">Who serves when the network breaks.</param>
/// <param name="Replication">When a write is acknowledged.</param>
/// <param name="Epoch">Counts regime and policy changes.</param>
/// <param name="Shards">In shard order.</param>
public sealed record KvKeyspaceInfo(uint Id, string Name, PartitionPolicy Policy, Replication Replication, ulong Epoch, IReadOnlyList<KvShardInfo> Shards);

/// <summary>A shard's replicas.</summary>
/// <param name="Nodes">The nodes that hold a replica.</param>
/// <param name="LeaderHint">The leader as the teller last heard; 0: not known.</param>
public sealed record KvShardInfo(IReadOnlyList<uint> Nodes, uint LeaderHint)
{
    /// <summary>Counts the changes of the shard's regime; 0: the teller has no replica of it.</summary>
    public ulong Epoch { get; init; }

    /// <summary>Who takes writes: the leader, or every replica.</summary>
    public KvRegime Regime { get; init; }
}
