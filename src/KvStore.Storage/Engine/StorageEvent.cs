using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage;

public enum StorageEventKind : byte
{
    /// <summary>Everything the loop appended up to <see cref="StorageEvent.Durable"/> would survive a power loss.</summary>
    Durable = 1,

    /// <summary>The load <see cref="StorageEvent.Tag"/> is in memory: pass it to <see cref="ShardReplica.OnLoaded"/>.</summary>
    Loaded = 2,

    /// <summary><see cref="StorageEvent.Page"/> was read: pass it to <see cref="ShardReplica.OnScanned"/>.</summary>
    Scanned = 3,

    /// <summary>The installed view is durable at <see cref="StorageEvent.Position"/>: pass it to <see cref="ShardReplica.OnInstalled"/>.</summary>
    Installed = 4,

    /// <summary>
    /// Storage has failed for good. The outcome of everything appended and not reported durable is unknown, and no further event comes. The node must stop.
    /// </summary>
    Failed = 5,
}

/// <summary>What storage reports to a loop. Only the members that belong to <see cref="Kind"/> are set.</summary>
public readonly record struct StorageEvent(StorageEventKind Kind)
{
    public ShardId Shard { get; init; }

    public LogPosition Durable { get; init; }

    public ulong Tag { get; init; }

    public ScanPage? Page { get; init; }

    public ViewPosition Position { get; init; }

    public Exception? Error { get; init; }
}

/// <summary>A loop's ear. Called from storage's own work, one or several at a time: it must only post to the loop's inbox.</summary>
public interface IStorageSink
{
    void Post(in StorageEvent e);
}
