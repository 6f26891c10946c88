namespace KvStore.Contracts;

/// <summary>The bounds of the wire, kept by both sides. A request outside them is refused with a sentence that names the bound.</summary>
public static class KvLimits
{
    /// <summary>Keys are 1 to this many bytes.</summary>
    public const int MaxKeyBytes = 4_096;

    /// <summary>Values are 0 to this many bytes.</summary>
    public const int MaxValueBytes = 1_048_576;

    /// <summary>A message of a client may be this long at most.</summary>
    public const int MaxMessageBytes = 4 * 1_048_576;

    /// <summary>Operations in one batch message.</summary>
    public const int MaxBatchOperations = 1_024;

    /// <summary>Records in one page of a scan.</summary>
    public const int MaxScanRecords = 1_000;

    public const int DefaultScanRecords = 100;

    /// <summary>Bytes of keys and values in one page of a scan, give or take the last record.</summary>
    public const int MaxScanBytes = 1_048_576;

    /// <summary>Comparisons and operations of both branches of a transaction, together.</summary>
    public const int MaxTransactionSteps = 128;

    /// <summary>Keys, versions and values of a transaction, together: it is one entry of the log.</summary>
    public const int MaxTransactionBytes = 1_048_576;

    public const int MaxKeyspaceNameLength = 64;

    public const int MaxShards = 1_024;

    public const int DefaultShards = 8;

    public const int MaxReplicas = 9;

    /// <summary>Opaque versions are never longer.</summary>
    public const int MaxVersionBytes = 4_096;

    /// <summary>A time to live is 1 ms to this: 10 years.</summary>
    public const ulong MaxTtlMs = 315_360_000_000;

    /// <summary>The time to live of what shall not expire, whatever the keyspace's default is.</summary>
    public const ulong NoExpiry = ulong.MaxValue;

    /// <summary>What a session has seen of one shard is never longer.</summary>
    public const int MaxSessionPositionBytes = 4_096;

    /// <summary>A session's token, over all shards it has touched, is never longer.</summary>
    public const int MaxSessionTokenBytes = 1_048_576;

    /// <summary>A watch's position in one shard is never longer.</summary>
    public const int MaxWatchPositionBytes = 65_536;

    /// <summary>A watch's token, over all its shards, is never longer.</summary>
    public const int MaxWatchTokenBytes = 1_048_576;

    /// <summary>A bounded read may allow 1 to this many milliseconds.</summary>
    public const int MaxStalenessMs = 600_000;

    /// <summary>What an operation without a timeout gets, in milliseconds.</summary>
    public const int DefaultTimeoutMs = 10_000;

    public const int MaxTimeoutMs = 600_000;

    /// <summary>The protocol between nodes, and between clients and nodes.</summary>
    public const uint ProtocolVersion = 1;
}
