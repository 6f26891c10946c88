namespace KvStore.TestKit.Histories;

/// <summary>
/// One operation as its client saw it. Values are text that only has to be comparable: hash or encode binary values before recording them. Checks are sharpest
/// when every write of a key has a value of its own.
/// </summary>
public sealed record RecordedOperation
{
    /// <summary>The <see cref="ReturnOrder"/> of an operation that never returned.</summary>
    public const long NeverReturned = long.MaxValue;

    /// <summary>Who asked: a client, a process, a thread.</summary>
    public required string Client { get; init; }

    /// <summary>The key.</summary>
    public required string Key { get; init; }

    /// <summary>What was asked for.</summary>
    public required RecordedKind Kind { get; init; }

    /// <summary>The text to write or append. Null for reads and deletes, and for a compare-and-set that deletes.</summary>
    public string? Input { get; init; }

    /// <summary>What a compare-and-set expects to find. Null: that the key is absent.</summary>
    public string? Expected { get; init; }

    /// <summary>
    /// The values that the write's context had seen, where the write named one (a dotted write in an open keyspace): it supersedes these and nothing else.
    /// Null for a blind write, which supersedes whatever the serving replica holds.
    /// </summary>
    public IReadOnlyList<string>? Context { get; init; }

    /// <summary>What a read returned: nothing for an absent key, several values for siblings.</summary>
    public IReadOnlyList<string> Values { get; init; } = [];

    /// <summary>What the client learned.</summary>
    public required RecordedOutcome Outcome { get; init; }

    /// <summary>
    /// The place of the invocation in the history's one order of events. If an event happened before another, its number is smaller; equal numbers say nothing,
    /// and the checkers treat such operations as concurrent.
    /// </summary>
    public required long InvokeOrder { get; init; }

    /// <summary>The place of the return in that order, or <see cref="NeverReturned"/>.</summary>
    public required long ReturnOrder { get; init; }

    /// <summary>When it was invoked, since the start of the recording. For people; the checkers only look at the order.</summary>
    public TimeSpan InvokedAt { get; init; }

    /// <summary>When it returned, since the start of the recording; null if it never did.</summary>
    public TimeSpan? ReturnedAt { get; init; }

    /// <summary>
    /// A write that was sent more than once, in a store that can't tell whether the earlier attempts took effect (an open keyspace, where a retry at a replica that lacks the first attempt is a second write): its value may be there twice.
    /// </summary>
    public bool MayBeTwice { get; init; }

    /// <summary>Whether it can have changed the key: a write that is done or unknown.</summary>
    public bool MayHaveWritten => Kind != RecordedKind.Get && Outcome is RecordedOutcome.Done or RecordedOutcome.Unknown;

    /// <summary>Whether it only looks: a read, or a compare-and-set whose comparison did not hold.</summary>
    public bool IsObservation => Kind == RecordedKind.Get || Outcome == RecordedOutcome.Mismatched;

    /// <summary>
    /// The last moment at which it can have taken effect: its return, or <see cref="NeverReturned"/> when the outcome is unknown, since an unknown write may
    /// take effect long after its client has given up.
    /// </summary>
    public long LatestEffect => Outcome == RecordedOutcome.Unknown ? NeverReturned : ReturnOrder;

    /// <summary>The operation in a line, for explanations.</summary>
    public override string ToString()
    {
        var what = Kind switch
        {
            RecordedKind.Get => Outcome == RecordedOutcome.Done ? $"get -> {Describe(Values)}" : "get",
            RecordedKind.Put => $"put {Quote(Input)}{DescribeContext()}",
            RecordedKind.Delete => $"delete{DescribeContext()}",
            RecordedKind.CompareAndSet => $"compare-and-set {Quote(Expected)} -> {Quote(Input)}",
            RecordedKind.Append => $"append {Quote(Input)}",
            _ => Kind.ToString(),
        };
        var outcome = Outcome switch
        {
            RecordedOutcome.Done => "done",
            RecordedOutcome.NotDone => "not done",
            RecordedOutcome.Mismatched => "comparison failed",
            _ => "unknown",
        };
        var end = ReturnOrder == NeverReturned ? "open" : ReturnOrder.ToString();
        return $"client {Client}, key {Key}: {what} ({outcome}) [{InvokeOrder}..{end}]";
    }

    internal static string Quote(string? value) => value is null ? "nothing" : $"\"{value}\"";

    internal static string Describe(IReadOnlyCollection<string> values) => values.Count == 0 ? "nothing" : string.Join(" and ", values.Select(Quote));

    private string DescribeContext() => Context is null ? "" : $" having seen {Describe(Context)}";
}
