namespace KvStore.Core.Replicas.Watching;

/// <summary>
/// What the windows of all replicas of a node may take together. Who appends while it is exceeded gives up its own oldest changes. Several owners count in it at a time without a lock: a count that is off
/// for a moment costs a window a few changes more or less.
/// </summary>
public sealed class WindowBudget(long maxBytes)
{
    private long _bytes;

    public long MaxBytes => maxBytes;

    public long Bytes => Volatile.Read(ref _bytes);

    public bool IsExceeded => Bytes > maxBytes;

    internal void Add(long bytes) => Adder(ref _bytes, bytes);

    /// <summary>Core has no threads; who shares a budget between them says how to add.</summary>
    public delegate void AddTo(ref long total, long bytes);

    public AddTo Adder { get; init; } = static (ref long total, long bytes) => total += bytes;
}
