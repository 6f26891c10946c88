namespace KvStore.Client;

/// <summary>What a watch tells. Numbers are those of the wire.</summary>
public enum KvChangeKind
{
    /// <summary>Not known to this client.</summary>
    None = 0,

    /// <summary>The key has a new value; with <see cref="KvChange{T}.Siblings"/>, several concurrent ones.</summary>
    Put = 1,

    /// <summary>The key was deleted.</summary>
    Deleted = 2,

    /// <summary>The key's time to live was over. In ap keyspaces this is concluded from what a delete has removed.</summary>
    Expired = 3,

    /// <summary>Keyspaces in memory: the replica that serves this watch has made room. No delete: the next read may find the key elsewhere, or not.</summary>
    Evicted = 4,

    /// <summary>Nothing has happened up to the token; only where <see cref="KvWatchOptions.TellProgress"/> asks for it.</summary>
    Progress = 5,

    /// <summary>Changes before this may be missing. Read the range now (a scan), then go on with what follows; with <see cref="KvWatchOptions.InitialValues"/> the watch does that itself.</summary>
    Gap = 6,

    /// <summary>What the key held when the watch began; see <see cref="KvWatchOptions.InitialValues"/>.</summary>
    Current = 7,

    /// <summary>All that the range held was told, over all shards.</summary>
    CaughtUp = 8,

    /// <summary>The last of the enumeration: the reader was too slow, and the node could keep no more for it. Watch again from the token; what was missed is then told as a gap.</summary>
    Ended = 9,
}

/// <summary>One thing that a watch tells.</summary>
/// <typeparam name="T">What values are read as. A ReadOnlyMemory&lt;byte&gt; slices the received message and keeps it alive; copy it to keep it long.</typeparam>
public sealed record KvChange<T>
{
    private readonly WatchMark? _mark;

    internal KvChange(WatchMark? mark) => _mark = mark;

    /// <summary>What has happened.</summary>
    public required KvChangeKind Kind { get; init; }

    /// <summary>The key; default where the change is of none (<see cref="KvChangeKind.Gap"/>, <see cref="KvChangeKind.CaughtUp"/>, <see cref="KvChangeKind.Ended"/>).</summary>
    public KvKey Key { get; init; }

    /// <summary>The value of <see cref="KvChangeKind.Put"/> and <see cref="KvChangeKind.Current"/>; with siblings the deterministic winner (newest, then by actor).</summary>
    public T? Value { get; init; }

    /// <summary>What was seen, for conditions, as a read would return it. <see cref="KvVersion.Absent"/> where there is no value.</summary>
    public KvVersion Version { get; init; }

    /// <summary>All live values, when there is more than one; otherwise empty.</summary>
    public IReadOnlyList<KvSibling<T>> Siblings { get; init; } = [];

    /// <summary>When the value was written, by the writer's hybrid clock.</summary>
    public DateTimeOffset? Timestamp { get; init; }

    /// <summary>How long the value had to live when it was told, by the clock of the node that serves; null: it does not expire.</summary>
    public TimeSpan? ExpiresIn { get; init; }

    /// <summary>Whether the log wrote it, or a replica of an open shard.</summary>
    public KvRegime Regime { get; init; }

    /// <summary>The keyspace epoch of the change.</summary>
    public ulong Epoch { get; init; }

    /// <summary>The shard that it is from.</summary>
    public int Shard { get; init; }

    /// <summary>The node that told it.</summary>
    public uint Node { get; init; }

    /// <summary><see cref="KvChangeKind.Ended"/>: why. With a value: its concurrent values are more than 2 MiB together and left out; read the key.</summary>
    public string Reason { get; init; } = "";

    /// <summary>
    /// Where to resume behind this change: give it to <see cref="KvWatchOptions.FromToken"/>, in this process or another. Made when it is asked for. Null while some shard has not said yet where it begins, and until
    /// <see cref="KvChangeKind.CaughtUp"/>.
    /// </summary>
    public string? Token => _mark?.ToString();
}
