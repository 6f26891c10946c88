using System.Collections.Immutable;
using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>One replica of a shard: on which node, and under which Raft id.</summary>
public readonly record struct ReplicaPlace(NodeId Node, ReplicaId Replica)
{
    public override string ToString() => $"{Replica}@{Node}";
}

/// <summary>
/// What a shard is for good, and which of its replicas this one is. Immutable. Who its members are <em>now</em> is the business of the configuration log (<see cref="ShardMembers"/>): the founders
/// are only the configuration that it begins with.
/// </summary>
public sealed class ShardDescriptor
{
    /// <summary>For a founding replica.</summary>
    /// <param name="founders">The voters with which the shard was created. The same for every replica, and for as long as the shard lives: changes begin from them.</param>
    /// <param name="self">The node whose replica this is.</param>
    public ShardDescriptor(ShardId shard, Epoch epoch, KeyspaceMode mode, ImmutableArray<ReplicaPlace> founders, NodeId self)
        : this(shard, epoch, mode, founders, founders.First(place => place.Node == self))
    {
    }

    /// <summary>For any replica. One that is no founder begins with nothing and is brought up by the leader, once the configuration log has named it.</summary>
    public ShardDescriptor(ShardId shard, Epoch epoch, KeyspaceMode mode, ImmutableArray<ReplicaPlace> founders, ReplicaPlace self)
    {
        Invariant.Assert(mode.Contradiction is null);
        Invariant.Assert(founders.Length > 0);
        Invariant.Assert(!self.Replica.IsNone && !self.Node.IsNone);
        Invariant.Assert(founders.All(place => place.Replica != self.Replica || place.Node == self.Node), "a replica id lives on one node");
        Shard = shard;
        Epoch = epoch;
        Mode = mode;
        Founders = founders;
        Self = self;
    }

    public ShardId Shard { get; }

    public Epoch Epoch { get; }

    public KeyspaceMode Mode { get; }

    /// <summary>How far async and best-effort acknowledgements may run ahead of the commit.</summary>
    public MaxLag MaxLag { get; init; } = MaxLag.Default;

    /// <summary>How long values live that are written without a time to live, in milliseconds. Zero: for ever.</summary>
    public ulong DefaultTtlMs { get; init; }

    /// <summary>What an open shard shows of concurrent values.</summary>
    public ConflictRule Conflicts { get; init; } = ConflictRule.Siblings;

    /// <summary>Adaptive keyspaces: after how long without a leader a replica serves provisionally.</summary>
    public ProvisionalAfter ProvisionalAfter { get; init; } = ProvisionalAfter.Default;

    /// <summary>Not zero: an open shard whose data lives in memory only, at most so many bytes in each replica. Its configuration log is durable all the same.</summary>
    public long MemoryBytes { get; init; }

    public bool IsInMemory => MemoryBytes > 0;

    public ImmutableArray<ReplicaPlace> Founders { get; }

    public ReplicaPlace Self { get; }

    public bool IsFounder => Founders.Contains(Self);
}
