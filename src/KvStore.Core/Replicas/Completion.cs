using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Numbers are those of kv.proto.</summary>
public enum Outcome : byte
{
    None = 0,
    Done = 1,

    /// <summary>It has had no effect and never will; safe to send again as a new write.</summary>
    NotDone = 2,

    /// <summary>It may have happened, or may yet happen.</summary>
    Unknown = 3,
}

/// <summary>Why an operation was not done, or is unknown. Numbers are those of kv.proto.</summary>
public enum RefusalCode : byte
{
    None = 0,
    NoLeader = 1,
    NoQuorum = 2,

    /// <summary>This replica does not lead; the completion carries who does, where known.</summary>
    NotLeader = 3,
    StaleEpoch = 4,

    /// <summary>This node has no replica of the shard.</summary>
    WrongNode = 5,

    /// <summary>The condition did not hold. A result, not an error.</summary>
    ConditionFailed = 6,
    LevelNotOffered = 7,
    InvalidArgument = 8,
    TooLarge = 9,
    Overloaded = 10,
    UnknownKeyspace = 11,
    DeadlineExceeded = 12,

    /// <summary>The request id is older than what the dedup table remembers.</summary>
    RequestExpired = 13,

    /// <summary>The same request id came with another payload.</summary>
    RequestReused = 14,

    /// <summary>The leadership was lost before the write was known to be committed.</summary>
    LeadershipLost = 15,
    StorageFailed = 16,
    ShuttingDown = 17,
    Recovering = 18,
    DiskLow = 19,
    ClockSkew = 20,
    TooManySiblings = 21,

    /// <summary>A change of the shard's members is under way, or may be.</summary>
    ChangePending = 22,

    /// <summary>The change would count on replicas that are not here or lack what was acknowledged.</summary>
    NotCaughtUp = 23,

    /// <summary>This replica was removed from its shard, for good.</summary>
    ReplicaRemoved = 24,

    /// <summary>Data in memory only: the write would take more than the shard may use.</summary>
    MemoryFull = 30,

    /// <summary>The shard is changing its regime, or this replica has not heard of the change yet. It passes; try again.</summary>
    Switching = 27,

    /// <summary>
    /// The request was first tried in an earlier epoch and is not remembered: it was not executed now, and whether an earlier attempt was can't be told here.
    /// </summary>
    EpochPassed = 32,

    /// <summary>The replica serves without a leader, and this can't be answered provisionally.</summary>
    ProvisionalRefused = 28,

    /// <summary>An increment of a key that holds a value which is no counter.</summary>
    WrongType = 29,

    /// <summary>Too much that was written without a leader waits to be merged.</summary>
    OverlayFull = 31,

    /// <summary>The replica lacks what the session has seen; another may have it.</summary>
    SessionBehind = 25,

    /// <summary>The replica is not known to be as fresh as the read demands; another may be.</summary>
    TooStale = 26,

    /// <summary>A write that the session has seen was lost in a failover.</summary>
    SessionLost = 35,
}

/// <summary>Numbers are those of kv.proto.</summary>
public enum Regime : byte
{
    None = 0,
    Ordered = 1,
    Open = 2,
    Provisional = 3,
}

/// <summary>A node whose replica can't be reached, and for how long it has been so, in milliseconds.</summary>
public readonly record struct MissingReplica(NodeId Node, long ForMs);

/// <summary>One live value of a key that has several.</summary>
/// <param name="Value">The value.</param>
/// <param name="TimestampMs">When it was written, by the writer's hybrid clock.</param>
/// <param name="Dot">Which write it was, and whose.</param>
public readonly record struct SiblingView(ReadOnlyMemory<byte> Value, ulong TimestampMs, Dot Dot);

/// <summary>The answer to one <see cref="ClientOperation"/>, and how much it is worth.</summary>
public struct Completion
{
    public ulong Handle;
    public Outcome Outcome;
    public RefusalCode Code;
    public Regime Regime;
    public Epoch Epoch;

    /// <summary>Get: whether there is a value.</summary>
    public bool Found;

    /// <summary>Get: the value, or the deterministic winner among siblings.</summary>
    public ReadOnlyMemory<byte> Value;

    /// <summary>Opaque version: ordered keys carry it as <see cref="OrderedVersion"/> alone, to spare the bytes.</summary>
    public ReadOnlyMemory<byte> Version;

    /// <summary>The log index that is the version of an ordered key; zero when <see cref="Version"/> counts.</summary>
    public LogIndex OrderedVersion;

    /// <summary>All live values, when there is more than one.</summary>
    public IReadOnlyList<SiblingView>? Siblings;

    /// <summary>Last-writer-wins: how many concurrent values lost against the one that is shown.</summary>
    public int HiddenLosers;

    /// <summary>How many replicas held the write durably (best-effort: in memory) when it was acknowledged; how many a read asked.</summary>
    public int Acknowledgements;

    /// <summary>Acknowledged by fewer replicas than the mode wants, because no more were reachable.</summary>
    public bool Degraded;

    /// <summary>Who leads, with <see cref="RefusalCode.NotLeader"/>.</summary>
    public NodeId LeaderHint;

    /// <summary>Estimated age of the answer in milliseconds; zero for linearizable ones.</summary>
    public uint StalenessMs;

    /// <summary>Increment: the counter afterwards.</summary>
    public long Counter;

    /// <summary>Get: how long the value has to live by this node's clock, in milliseconds; at least 1 while it is shown. Zero: it does not expire.</summary>
    public ulong ExpiresInMs;

    /// <summary>What the session has seen with this answer, encoded. Empty where the operation belongs to no session.</summary>
    public ReadOnlyMemory<byte> Session;

    /// <summary>Of a transaction that was done: which branch, and what its steps came to.</summary>
    public Transactions.TransactionAnswer? Transaction;

    /// <summary>Scan results in key order.</summary>
    public IReadOnlyList<ScanItem>? Items;
    public bool More;

    /// <summary>Which nodes with replicas of the shard can't be reached, with <see cref="RefusalCode.NoQuorum"/>.</summary>
    public IReadOnlyList<MissingReplica>? Missing;

    /// <summary>What a person should know, for refusals. Static or rarely made: never on a hot path.</summary>
    public string? Reason;
}

/// <summary>One key of a scan, with its value as a get would answer it.</summary>
public readonly record struct ScanItem(ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value, LogIndex OrderedVersion, ReadOnlyMemory<byte> Version, int SiblingCount, ulong ExpiresInMs = 0);
