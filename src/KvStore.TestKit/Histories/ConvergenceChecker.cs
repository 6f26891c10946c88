namespace KvStore.TestKit.Histories;

/// <summary>A key that two replicas hold differently.</summary>
/// <param name="Key">The key.</param>
/// <param name="Replica">One replica: the first that was given.</param>
/// <param name="Values">What it holds.</param>
/// <param name="OtherReplica">The replica that differs from it.</param>
/// <param name="OtherValues">What that one holds.</param>
public sealed record ConvergenceDifference(
    string Key, string Replica, IReadOnlyCollection<string> Values, string OtherReplica, IReadOnlyCollection<string> OtherValues)
{
    /// <summary>The difference in a sentence.</summary>
    public override string ToString() =>
        $"Key {Key}: {Replica} holds {RecordedOperation.Describe(Values)}, {OtherReplica} holds {RecordedOperation.Describe(OtherValues)}.";
}

/// <summary>Whether replicas agree.</summary>
/// <param name="DifferentKeys">How many keys are not the same everywhere.</param>
/// <param name="Differences">The first of them in ordinal order, one difference a key.</param>
public sealed record ConvergenceResult(int DifferentKeys, IReadOnlyList<ConvergenceDifference> Differences)
{
    /// <summary>Whether all replicas hold the same.</summary>
    public bool Converged => DifferentKeys == 0;

    /// <summary>The result in a few lines.</summary>
    public override string ToString() => Converged
        ? "All replicas hold the same."
        : $"{DifferentKeys} keys differ.{Environment.NewLine}{string.Join(Environment.NewLine, Differences)}";
}

/// <summary>
/// Tells whether replicas hold the same. Ask when writes have stopped and every replica can reach every other, after waiting until nothing is under way:
/// before that, a difference is no fault.
/// </summary>
public static class ConvergenceChecker
{
    /// <summary>Compares replicas with the first of them.</summary>
    /// <param name="replicas">What each replica holds.</param>
    /// <param name="limit">How many differences to describe. All are counted.</param>
    public static ConvergenceResult Check(IReadOnlyList<ReplicaDump> replicas, int limit = 10)
    {
        ArgumentNullException.ThrowIfNull(replicas);
        var differences = new List<ConvergenceDifference>();
        var count = 0;
        foreach (var key in replicas.SelectMany(replica => replica.Keys).Distinct().Order(StringComparer.Ordinal))
        {
            var values = replicas[0].ValuesOf(key);
            var other = replicas.FirstOrDefault(replica => !replica.ValuesOf(key).SetEquals(values));
            if (other is null)
            {
                continue;
            }

            count++;
            if (differences.Count < limit)
            {
                differences.Add(new ConvergenceDifference(key, replicas[0].Replica, [.. values], other.Replica, [.. other.ValuesOf(key)]));
            }
        }

        return new ConvergenceResult(count, differences);
    }
}
