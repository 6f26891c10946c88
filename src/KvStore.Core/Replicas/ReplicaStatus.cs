using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>A replica as operators see it.</summary>
public sealed record ReplicaStatus
{
    public required ShardDescriptor Descriptor { get; init; }

    public required Regime Regime { get; init; }

    public required RaftRole Role { get; init; }

    public required Term Term { get; init; }

    public required NodeId Leader { get; init; }

    public required LogIndex Commit { get; init; }

    public required LogIndex Applied { get; init; }

    public required LogIndex LastIndex { get; init; }

    /// <summary>The shard clock of an open shard.</summary>
    public required string Clock { get; init; }

    /// <summary>Dots that the furthest peer is known to lack.</summary>
    public required ulong PeerLag { get; init; }

    /// <summary>The group has nothing to do and has fallen silent.</summary>
    public bool Quiet { get; init; }

    /// <summary>Not empty: why the replica does not serve.</summary>
    public required string Fenced { get; init; }
}
