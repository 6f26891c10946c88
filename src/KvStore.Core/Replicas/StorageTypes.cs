using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>A place in one loop's share of the node-wide log, in the order of appends. Only comparisons mean anything.</summary>
public readonly record struct LogPosition(long Value) : IComparable<LogPosition>
{
    public int CompareTo(LogPosition other) => Value.CompareTo(other.Value);

    public static bool operator <(LogPosition left, LogPosition right) => left.Value < right.Value;

    public static bool operator >(LogPosition left, LogPosition right) => left.Value > right.Value;

    public static bool operator <=(LogPosition left, LogPosition right) => left.Value <= right.Value;

    public static bool operator >=(LogPosition left, LogPosition right) => left.Value >= right.Value;
}

/// <summary>The kinds of records in the node-wide log. Numbers are part of the disk format.</summary>
public enum LogRecordKind : byte
{
    /// <summary>A Raft entry. A later record with the same or a lower index supersedes it and all above.</summary>
    Entry = 1,

    /// <summary>Term and vote of the Raft group. Only the last one counts; storage carries it into every new segment.</summary>
    HardState = 2,

    /// <summary>A dotted write or receipt: key, stored object and the dots it accounts for. Its index is the replica's own running number.</summary>
    Dotted = 3,

    /// <summary>The replica's dotted identity (actor, counter bound, incarnation). Only the last one counts; storage carries it into every new segment.</summary>
    Incarnation = 4,

    /// <summary>
    /// A snapshot was installed: all entries that come before it in the log are void, those above its index too. Storage carries the last one into every new segment.
    /// </summary>
    SnapshotInstalled = 5,

    /// <summary>A write that was acknowledged early and is replaced by the entries behind this record. Kept like an entry of its index.</summary>
    LostWrite = 6,

    /// <summary>The lost writes up to a number were read and may be forgotten. Only the last one counts; storage carries it into every new segment.</summary>
    LostWritesCleared = 7,

    /// <summary>Data in memory only: all replicas had lost it, how often and when last. Only the last one counts; storage carries it into every new segment.</summary>
    MemoryLost = 8,

    /// <summary>A record of the overlay, whole, or what else it holds. Its index comes from the same running number as that of a dotted record, and it is kept like one.</summary>
    Overlay = 9,
}

public enum SyncUrgency : byte
{
    /// <summary>An acknowledgement waits for it.</summary>
    Now = 0,

    /// <summary>It may ride with the next sync, at most 10 ms later.</summary>
    Lazy = 1,
}

public enum RecordLookup : byte
{
    Found = 1,
    Absent = 2,
    NotResident = 3,
}

/// <summary>Separate key ranges of one replica's view. Numbers are part of the disk format.</summary>
public enum RecordSpace : byte
{
    /// <summary>What the replica knows of itself: dedup sessions, shard clock, watermarks.</summary>
    Meta = 1,

    /// <summary>The user's keys.</summary>
    Data = 2,

    /// <summary>Dot to key, for dots that some peer may lack, spilled from memory while a peer lags.</summary>
    DotKeys = 3,

    /// <summary>Writes accepted outside the log, waiting to be merged. The replica's own: no snapshot and no scan of all spaces shows them.</summary>
    Overlay = 4,

    /// <summary>Writes that this replica acknowledged and lost. Its own: no snapshot and no scan of all spaces shows them.</summary>
    Journal = 5,

    /// <summary>The keys of an open shard that have more than one live value, each with their number. Follows from the data, and is sealed with it.</summary>
    Conflicts = 8,
}

/// <summary>
/// Where a view stands: the last applied Raft entry, and the number of the last dotted or overlay record, which is the replica's own. Both count up only.
/// </summary>
public readonly record struct ViewPosition(LogIndex Applied, Term AppliedTerm, ulong Dotted)
{
    public static readonly ViewPosition Zero;
}

/// <summary>Asks for records of one space in key order.</summary>
public readonly record struct ScanRequest
{
    /// <summary>Comes back with the page.</summary>
    public required ulong Tag { get; init; }

    /// <summary>The space to read, or null for all spaces in the order of their numbers (snapshots).</summary>
    public RecordSpace? Space { get; init; }

    /// <summary>Only keys that begin with this. Empty: all.</summary>
    public ReadOnlyMemory<byte> Prefix { get; init; }

    /// <summary>Continue behind this record. Empty: from the start.</summary>
    public ReadOnlyMemory<byte> After { get; init; }

    /// <summary>The space of <see cref="After"/>, where all spaces are read.</summary>
    public RecordSpace AfterSpace { get; init; }

    public required int MaxRecords { get; init; }

    /// <summary>The page ends after the record with which it reaches this many bytes of keys and records.</summary>
    public required int MaxBytes { get; init; }

    /// <summary>Zero: the view as it stands now. Otherwise a view pinned by <see cref="IReplicaStorage.PinView"/>.</summary>
    public ulong PinnedView { get; init; }
}

public readonly record struct ScannedRecord(RecordSpace Space, ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Record);

/// <summary>One page of a scan. <see cref="More"/> says whether records remain behind the last one.</summary>
public sealed record ScanPage(ulong Tag, IReadOnlyList<ScannedRecord> Records, bool More);

/// <summary>One record found in the log after a restart, in log order.</summary>
public readonly record struct RecoveredRecord(LogRecordKind Kind, Term Term, LogIndex Index, ReadOnlyMemory<byte> Payload);

/// <summary>
/// What a replica finds after a restart: the view's position and the log records that storage still has, in log order (possibly older ones than the position: they can serve
/// followers that lag).
/// </summary>
public sealed record RecoveredReplica(ViewPosition Position, IReadOnlyList<RecoveredRecord> Records)
{
    public static readonly RecoveredReplica Empty = new(ViewPosition.Zero, []);
}
