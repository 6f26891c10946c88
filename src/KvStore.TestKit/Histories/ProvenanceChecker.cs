namespace KvStore.TestKit.Histories;

/// <summary>A value that was read although nobody can have written it.</summary>
/// <param name="Key">The key.</param>
/// <param name="Value">The value.</param>
/// <param name="Read">The read that returned it; null if it was found in a replica's dump.</param>
/// <param name="DefiniteFailure">
/// The write of this value that had been reported as not done, or as a failed comparison; null if no client ever tried to write it before the read returned.
/// </param>
public sealed record ProvenanceViolation(string Key, string Value, RecordedOperation? Read, RecordedOperation? DefiniteFailure)
{
    /// <summary>The violation in a sentence.</summary>
    public string Explanation => DefiniteFailure is null
        ? $"The value {RecordedOperation.Quote(Value)} of key {Key} was {Where}, but nobody had written it."
        : $"The value {RecordedOperation.Quote(Value)} of key {Key} was {Where}, but its write had definitely failed: \"{DefiniteFailure}\".";

    private string Where => Read is null ? "found" : $"read (\"{Read}\")";

    /// <summary>The violation in a sentence.</summary>
    public override string ToString() => Explanation;
}

/// <summary>
/// Proves that nothing was invented: each value that was read leads back to a write which may have happened and had been invoked before the read returned.
/// A write that was reported as definitely not done must never become visible. Holds in every regime, ordered or open. Values that several clients wrote get
/// the benefit of the doubt, so there are no false alarms. Appended texts are not traced.
/// </summary>
public static class ProvenanceChecker
{
    /// <summary>Checks all reads of a history.</summary>
    /// <param name="history">What happened.</param>
    /// <returns>The violations by order of invocation; none if all is well.</returns>
    public static IReadOnlyList<ProvenanceViolation> Check(History history)
    {
        ArgumentNullException.ThrowIfNull(history);
        if (!history.Model.ReadsReturnWrittenValues)
        {
            return [];
        }

        var writes = WritesByValue(history);
        return
        [
            .. from read in history.Operations
               where read is { Kind: RecordedKind.Get, Outcome: RecordedOutcome.Done }
               from value in read.Values
               let violation = Trace(writes, read.Key, value, read, read.ReturnOrder)
               where violation is not null
               select violation,
        ];
    }

    internal static ILookup<(string Key, string Value), RecordedOperation> WritesByValue(History history) => history.Operations
        .Where(operation => operation is { Input: not null, Kind: RecordedKind.Put or RecordedKind.CompareAndSet })
        .ToLookup(operation => (operation.Key, operation.Input!));

    internal static ProvenanceViolation? Trace(
        ILookup<(string Key, string Value), RecordedOperation> writes, string key, string value, RecordedOperation? read, long seenAt)
    {
        RecordedOperation? failure = null;
        foreach (var write in writes[(key, value)])
        {
            if (write.MayHaveWritten && write.InvokeOrder <= seenAt)
            {
                return null;
            }

            if (!write.MayHaveWritten)
            {
                failure ??= write;
            }
        }

        return new ProvenanceViolation(key, value, read, failure);
    }
}
