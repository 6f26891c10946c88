using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>Bounds and timing of one shard replica. Times are counted in ticks of <see cref="TickMs"/>.</summary>
public sealed record ReplicaOptions
{
    public RaftOptions Raft { get; init; } = RaftOptions.Default;

    /// <summary>The bounds of an open shard.</summary>
    public DottedOptions Dotted { get; init; } = DottedOptions.Default;

    /// <summary>Length of a tick in milliseconds.</summary>
    public int TickMs { get; init; } = 25;

    /// <summary>A unit of the view is sealed when it holds this many bytes; small units keep the write-behind smooth.</summary>
    public int SealBytes { get; init; } = 512 * 1024;

    /// <summary>A unit that isn't empty is sealed at the latest after this many ticks.</summary>
    public int SealTicks { get; init; } = 20;

    /// <summary>Applied entries that stay in memory for followers that lag; further behind, they get a snapshot.</summary>
    public int KeepEntries { get; init; } = 8_192;

    /// <summary>Entries are compacted in steps of this many, so that the log's array moves rarely.</summary>
    public int CompactStep { get; init; } = 4_096;

    /// <summary>Operations that one replica holds unanswered; more are refused.</summary>
    public int MaxPending { get; init; } = 16_384;

    /// <summary>Bytes of writes outside the log that one replica keeps until they are merged; more are refused. All of it is in memory.</summary>
    public int OverlayBytes { get; init; } = 64 * 1_048_576;

    /// <summary>When the oldest write outside the log has waited this long to be merged, no more are taken. One day.</summary>
    public long OverlayAgeMs { get; init; } = 24 * 3_600_000L;

    /// <summary>A batch of the overlay that was handed in and is not merged in this many ticks is sent again.</summary>
    public int HandInTicks { get; init; } = 40;

    /// <summary>Bytes of one snapshot page.</summary>
    public int SnapshotPageBytes { get; init; } = 512 * 1024;

    /// <summary>A snapshot page that is not answered in this many ticks ends the attempt.</summary>
    public int SnapshotPageTicks { get; init; } = 200;

    /// <summary>What a leader sends of snapshots at most, in bytes a second, over all followers of the shard. It is paced by ticks; one page may go beyond it.</summary>
    public long SnapshotBytesPerSecond { get; init; } = 256L * 1024 * 1024;

    /// <summary>How often an open shard tells its peers what it has, when that has changed or a peer lags. In ticks.</summary>
    public int AdvertiseTicks { get; init; } = 20;

    /// <summary>A pull that is not answered in this many ticks is sent again.</summary>
    public int PullTicks { get; init; } = 80;

    /// <summary>How long an operation waits here for what its session has seen, in milliseconds, before the caller is sent elsewhere. Ten times what a lost message takes to be healed.</summary>
    public int SessionWaitMs { get; init; } = 1_000;

    /// <summary>How long a bounded read waits here for the proof that nothing older is missing, in milliseconds, before the caller is sent elsewhere.</summary>
    public int FreshnessWaitMs { get; init; } = 1_000;

    /// <summary>Bytes of records in one page of a scan, give or take the last record.</summary>
    public int ScanPageBytes { get; init; } = 1_048_576;

    /// <summary>Nodes that an operator has given up for good: a shard that has lost its majority with them goes on here alone. See <see cref="QuorumLoss"/>. Empty but for that one start.</summary>
    public ImmutableArray<NodeId> GivenUp { get; init; } = [];

    /// <summary>
    /// How far clocks may disagree, in milliseconds. A node that is further off takes no put of a last-writer-wins keyspace. Timestamps of others that are further ahead are taken with their writes and not learned by the own clock.
    /// </summary>
    public int MaxClockDriftMs { get; init; } = 500;

    /// <summary>Changes are noted for watches. Who sets it takes them with <see cref="Watching.ReplicaWatch.TakeChanges"/> after each turn.</summary>
    public bool NotesChanges { get; init; }

    /// <summary>Last-writer-wins: how long values that lost stay before they are dropped, so that what arrives together is swept together. In milliseconds of the loop's clock.</summary>
    public int SweepGraceMs { get; init; } = 1_000;

    /// <summary>Bytes of lost writes that the journal of one replica keeps; the oldest go first, one always stays.</summary>
    public int LostWriteBytes { get; init; } = 2 * 1_048_576;
}
