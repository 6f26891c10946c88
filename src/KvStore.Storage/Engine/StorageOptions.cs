using KvStore.Core.Identity;

namespace KvStore.Storage;

public enum StorageEngine : byte
{
    /// <summary>Log in files, view in RocksDB. Needs a directory.</summary>
    RocksDb = 1,

    /// <summary>Log and view in memory, on a <see cref="SimulatedDisk"/>.</summary>
    Memory = 2,
}

/// <summary>How to open a node's storage. Sizes are in bytes.</summary>
public sealed record StorageOptions
{
    /// <summary>The data directory; it is created if it does not exist. Null for the in-memory engine.</summary>
    public string? Directory { get; init; }

    /// <summary>1 to 256 bytes of UTF-8.</summary>
    public required string ClusterId { get; init; }

    public required NodeId NodeId { get; init; }

    /// <summary>Which successor of the node under this id it is: 0 for the first one, one more each time the node was replaced.</summary>
    public uint Generation { get; init; }

    public StorageEngine Engine { get; init; } = StorageEngine.RocksDb;

    /// <summary>The disk of the in-memory engine; null for a fresh one. A disk that was used before is opened as it is.</summary>
    public SimulatedDisk? Disk { get; init; }

    /// <summary>Size of a log segment, at least 64 KB. Default: 64 MB, in memory 1 MB. A record's payload is at most half of it.</summary>
    public long? SegmentBytes { get; init; }

    /// <summary>When the log holds more than this, the view is flushed so that it can be trimmed. Default: 256 MB, in memory 8 MB.</summary>
    public long? RetainedLogBytes { get; init; }

    /// <summary>Budget of the in-memory object tables of all replicas. Records that are not written to the view yet may exceed it.</summary>
    public long TableBytes { get; init; } = 256L << 20;

    /// <summary>A replica whose view is at most this big is read into memory when it is opened, so that absent keys need no disk. Zero: never.</summary>
    public long PreloadBytes { get; init; } = 4L << 20;

    /// <summary>Above this many bytes appended and not yet synced, <see cref="NodeStorage.IsOverloaded"/> is set.</summary>
    public long MaxUnsyncedBytes { get; init; } = 64L << 20;

    /// <summary>Above this many bytes sealed and not yet written to the view, <see cref="NodeStorage.IsOverloaded"/> is set.</summary>
    public long MaxDirtyBytes { get; init; } = 64L << 20;

    /// <summary>With less free space than this, <see cref="NodeStorage.IsDiskLow"/> is set: refuse writes before the disk does.</summary>
    public long LowSpaceBytes { get; init; } = 512L << 20;

    public StorageScheduler Scheduler { get; init; } = StorageScheduler.ThreadPool;

    internal long EffectiveSegmentBytes => SegmentBytes ?? (Engine == StorageEngine.Memory ? 1L << 20 : 64L << 20);

    internal long EffectiveRetainedLogBytes => RetainedLogBytes ?? (Engine == StorageEngine.Memory ? 8L << 20 : 256L << 20);

    internal void Validate()
    {
        ArgumentException.ThrowIfNullOrEmpty(ClusterId);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(System.Text.Encoding.UTF8.GetByteCount(ClusterId), Storage.Engine.DataStamp.MaxClusterBytes, nameof(ClusterId));
        ArgumentOutOfRangeException.ThrowIfZero(NodeId.Value, nameof(NodeId));
        ArgumentOutOfRangeException.ThrowIfLessThan(EffectiveSegmentBytes, 64 * 1024, nameof(SegmentBytes));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(EffectiveSegmentBytes, 1 << 30, nameof(SegmentBytes));
        ArgumentOutOfRangeException.ThrowIfNegative(TableBytes);
        if (Engine == StorageEngine.RocksDb)
        {
            ArgumentException.ThrowIfNullOrEmpty(Directory);
        }
    }
}

/// <summary>Figures of the moment.</summary>
/// <param name="LogBytesWritten">Since the start.</param>
/// <param name="Syncs">fsyncs of the log since the start.</param>
/// <param name="LastSyncLatency">How long the last one took.</param>
/// <param name="RetainedLogBytes">Size of the log's segments.</param>
/// <param name="UnsyncedBytes">Submitted to the log and not durable yet.</param>
/// <param name="DirtyBytes">Sealed and not written to the view yet.</param>
/// <param name="TableBytes">Memory of the object tables.</param>
public readonly record struct StorageStats(
    long LogBytesWritten, long Syncs, TimeSpan LastSyncLatency, long RetainedLogBytes, long UnsyncedBytes, long DirtyBytes, long TableBytes);
