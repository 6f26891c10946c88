using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// One member of a shard, as one of its replicas knows it. In a joint change a member can be in both sets of voters. <paramref name="Match"/> (the log is known to be there up to here) and
/// <paramref name="RecentlyActive"/> are known to the leader only.
/// </summary>
public readonly record struct MemberStatus(ReplicaPlace Place, bool IsVoter, bool IsOutgoingVoter, bool IsLearner, LogIndex Match, bool RecentlyActive);

/// <summary>How far a change of a shard's regime is. What only a leader knows is empty elsewhere.</summary>
public sealed record SwitchStatus
{
    /// <summary>The shard is open, and this replica makes sure of that on its disk before it takes writes.</summary>
    public required bool IsOpening { get; init; }

    /// <summary>The shard was ordered while this replica had something else: it waits for a snapshot.</summary>
    public required bool IsLate { get; init; }

    /// <summary>
    /// Leader: the shard may leave its mode without being asked again. It is closing, or a caller waits for another mode, or the log holds entries that are not applied here, of which one may change it.
    /// </summary>
    public required bool IsUnderWay { get; init; }

    /// <summary>Leader of a closing shard: who has told what it has.</summary>
    public required ImmutableArray<NodeId> Reported { get; init; }

    /// <summary>Leader of a closing shard: who holds the baseline, itself left out.</summary>
    public required ImmutableArray<NodeId> Holders { get; init; }

    /// <summary>Replicas that can't be reached: they serve in the regime that they know until they hear of another.</summary>
    public required ImmutableArray<NodeId> Unbound { get; init; }

    /// <summary>For how long the last switch from ap to cp made writes wait here, from close to order. Zero: there was none since the start.</summary>
    public required long LastPauseMs { get; init; }
}

/// <summary>The dotted engine of one replica. In a quiet cluster that is whole nothing is kept.</summary>
public sealed record OpenStatus
{
    /// <summary>The replica is being copied: no source, no member of a quorum.</summary>
    public required bool IsRecovering { get; init; }

    /// <summary>Dots whose keys are kept for some peer that may lack them.</summary>
    public required int IndexedDots { get; init; }

    /// <summary>Records that hold more than one dot of metadata for each value, and deletes that are still remembered.</summary>
    public required int UncoveredContexts { get; init; }

    /// <summary>Some of them may be due to be stripped, or dot keys to be removed from the view.</summary>
    public required bool MayStrip { get; init; }

    /// <summary>All records were read since the start, so that the digests are known.</summary>
    public required bool HasDigests { get; init; }

    /// <summary>How often the digests were compared with a peer's at an equal clock, since the start.</summary>
    public required long Comparisons { get; init; }

    /// <summary>In how many of the 256 buckets the data differs from a peer's although the clocks are equal. Anything but zero is damage.</summary>
    public required int DifferentBuckets { get; init; }
}

/// <summary>A replica as operators see it.</summary>
public sealed record ReplicaStatus
{
    public required ShardDescriptor Descriptor { get; init; }

    public required Regime Regime { get; init; }

    /// <summary>The regime that is in force here, with its epoch and mode.</summary>
    public required ShardRegime Current { get; init; }

    /// <summary>How far a change of the regime is, as this replica knows.</summary>
    public required SwitchStatus Switch { get; init; }

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

    /// <summary>Data in memory only: what it takes now; objects evicted since the start; how often all replicas had lost it, and when last.</summary>
    public long MemoryBytes { get; init; }

    public long Evictions { get; init; }

    public ulong MemoryLosses { get; init; }

    public ulong LastMemoryLossMs { get; init; }

    /// <summary>Last-writer-wins: values that this replica has dropped because others won, since its start.</summary>
    public long LosersDropped { get; init; }

    /// <summary>Keys with writes made outside the log that wait here to be merged, their bytes, and for how long the oldest has waited.</summary>
    public int OverlayKeys { get; init; }

    public long OverlayBytes { get; init; }

    public ulong OverlayAgeMs { get; init; }

    /// <summary>How often this replica began to serve provisionally since its start.</summary>
    public long ProvisionalEpisodes { get; init; }

    /// <summary>An open shard: what its dotted engine holds beside the data. Null: the shard is ordered.</summary>
    public OpenStatus? Open { get; init; }

    /// <summary>What <see cref="ShardReplica.CaptureDigests"/> comes to, as text; filled in by whoever shows it. Empty: not known.</summary>
    public string Digest { get; init; } = "";

    /// <summary>How far each peer is behind what is durable here. Of an ordered shard: at its leader only.</summary>
    public IReadOnlyList<PeerLag> Lags { get; init; } = [];

    /// <summary>The group has nothing to do and has fallen silent.</summary>
    public bool Quiet { get; init; }

    /// <summary>The members as of the applied index, by their ids.</summary>
    public required ImmutableArray<MemberStatus> Members { get; init; }

    /// <summary>A change of the members is half done: decisions need a majority of both sets.</summary>
    public bool IsJoint => Members.Any(member => member.IsOutgoingVoter);

    /// <summary>This replica was removed from the shard. It serves nothing any more, and what it has on the disk can go.</summary>
    public required bool Removed { get; init; }

    /// <summary>Not empty: why the replica does not serve.</summary>
    public required string Fenced { get; init; }
}
