namespace KvStore.Core.Identity;

/// <summary>A position in the Raft log of one shard. The first entry has index 1; zero is "before the log".</summary>
public readonly record struct LogIndex(ulong Value) : IComparable<LogIndex>
{
    public static readonly LogIndex Zero;

    public LogIndex Next => new(checked(Value + 1));

    /// <summary>The index before this one. Must not be called on <see cref="Zero"/>.</summary>
    public LogIndex Previous => new(checked(Value - 1));

    public static LogIndex operator +(LogIndex index, ulong count) => new(checked(index.Value + count));

    /// <summary>How many entries lie above <paramref name="right"/> up to and including <paramref name="left"/>.</summary>
    public static ulong operator -(LogIndex left, LogIndex right) => checked(left.Value - right.Value);

    public static LogIndex Max(LogIndex a, LogIndex b) => a >= b ? a : b;

    public static LogIndex Min(LogIndex a, LogIndex b) => a <= b ? a : b;

    public int CompareTo(LogIndex other) => Value.CompareTo(other.Value);

    public static bool operator <(LogIndex left, LogIndex right) => left.Value < right.Value;

    public static bool operator >(LogIndex left, LogIndex right) => left.Value > right.Value;

    public static bool operator <=(LogIndex left, LogIndex right) => left.Value <= right.Value;

    public static bool operator >=(LogIndex left, LogIndex right) => left.Value >= right.Value;

    public override string ToString() => $"i{Value}";
}
