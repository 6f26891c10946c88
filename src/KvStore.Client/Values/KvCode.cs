namespace KvStore.Client;

/// <summary>Why an operation failed. Numbers are those of the wire.</summary>
public enum KvCode
{
    /// <summary>No reason stated.</summary>
    None = 0,

    /// <summary>The shard has no leader at the moment; elections take about a second.</summary>
    NoLeader = 1,

    /// <summary>The replicas that can be reached are not a majority.</summary>
    NoQuorum = 2,

    /// <summary>The node that was asked does not lead the shard.</summary>
    NotLeader = 3,

    /// <summary>The keyspace has moved on to another epoch.</summary>
    StaleEpoch = 4,

    /// <summary>The node that was asked has no replica of the shard.</summary>
    WrongNode = 5,

    /// <summary>The condition of a conditional write did not hold.</summary>
    ConditionFailed = 6,

    /// <summary>The keyspace does not offer this read level or write condition.</summary>
    LevelNotOffered = 7,

    /// <summary>The server does not accept an argument; the reason says which.</summary>
    InvalidArgument = 8,

    /// <summary>Key, value or batch exceeds a bound.</summary>
    TooLarge = 9,

    /// <summary>A bounded queue is full, in this client or in a node. Slow down.</summary>
    Overloaded = 10,

    /// <summary>No keyspace of this name.</summary>
    UnknownKeyspace = 11,

    /// <summary>The deadline passed.</summary>
    DeadlineExceeded = 12,

    /// <summary>The request id is older than what the server remembers.</summary>
    RequestExpired = 13,

    /// <summary>The request id came with another payload before.</summary>
    RequestReused = 14,

    /// <summary>The leader changed before the write was known to be committed.</summary>
    LeadershipLost = 15,

    /// <summary>The node's storage failed.</summary>
    StorageFailed = 16,

    /// <summary>The node, or this client, is shutting down.</summary>
    ShuttingDown = 17,

    /// <summary>The replica is recovering its data.</summary>
    Recovering = 18,

    /// <summary>The node is short of disk space and takes no writes.</summary>
    DiskLow = 19,

    /// <summary>The node's clock is too far from its peers'.</summary>
    ClockSkew = 20,

    /// <summary>The key has too many concurrent values; resolve them first.</summary>
    TooManySiblings = 21,

    /// <summary>A change of the shard's members is under way, or may be.</summary>
    ChangePending = 22,

    /// <summary>A change of the shard's members would count on replicas that are not here or lack what was acknowledged.</summary>
    NotCaughtUp = 23,

    /// <summary>The replica that was asked was removed from its shard.</summary>
    ReplicaRemoved = 24,

    /// <summary>A keyspace in memory: the write would take more than the shard may use.</summary>
    MemoryFull = 30,

    /// <summary>The replica serves provisionally (adaptive keyspaces, without a majority), and this asks for more than a provisional answer is worth.</summary>
    ProvisionalRefused = 28,

    /// <summary>Too much that was written provisionally waits to be merged.</summary>
    OverlayFull = 31,

    /// <summary>An increment of a key that holds a value which is no counter.</summary>
    WrongType = 29,

    /// <summary>The replicas that could be asked lack what the session has seen.</summary>
    SessionBehind = 25,

    /// <summary>No replica that could be asked is known to be as fresh as the bounded read demands.</summary>
    TooStale = 26,

    /// <summary>A write that the session has seen was lost in a failover. Look at what is there, and begin a new session.</summary>
    SessionLost = 35,

    /// <summary>A watch has read more slowly than its keys changed.</summary>
    WatchBehind = 60,

    /// <summary>The shard is changing its regime; the client tries again until the deadline.</summary>
    Switching = 27,

    /// <summary>An earlier attempt may have been executed in an epoch of the keyspace that has passed, and nothing tells: the outcome is unknown.</summary>
    EpochPassed = 32,

    /// <summary>No node could be reached before the deadline; the reason says what was found at each endpoint. Known to this client only.</summary>
    Unavailable = 1_000,

    /// <summary>What answers does not speak this interface: no KvStore node, or one of another protocol version. Known to this client only.</summary>
    Unsupported = 1_001,
}
