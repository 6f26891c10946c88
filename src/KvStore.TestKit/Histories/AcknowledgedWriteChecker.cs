namespace KvStore.TestKit.Histories;

/// <summary>What is wrong with a key at the end.</summary>
public enum AcknowledgedWriteFault
{
    /// <summary>An acknowledged write has vanished, and no write can have superseded it.</summary>
    Lost = 1,

    /// <summary>A value is back, or still there, although an acknowledged write that had seen it superseded it.</summary>
    Resurrected = 2,

    /// <summary>A value was read or is stored that nobody can have written, or whose write had definitely failed.</summary>
    Invented = 3,
}

/// <summary>One fault that <see cref="AcknowledgedWriteChecker"/> has found.</summary>
/// <param name="Fault">What kind it is.</param>
/// <param name="Key">The key.</param>
/// <param name="Explanation">What happened, in a sentence.</param>
/// <param name="Operation">The write that was lost or came back, or the read that saw an invented value; null if only the end shows it.</param>
public sealed record AcknowledgedWriteViolation(AcknowledgedWriteFault Fault, string Key, string Explanation, RecordedOperation? Operation)
{
    /// <summary>The fault in a sentence.</summary>
    public override string ToString() => $"{Fault}: {Explanation}";
}

/// <summary>
/// For open keyspaces, where concurrent values become siblings: compares a history with what the replicas hold at the end, and finds acknowledged writes that
/// vanished, superseded values that came back, and values from nowhere. It also holds for ordered keyspaces, but says less than
/// <see cref="LinearizabilityChecker"/>. Not for last-writer-wins keyspaces, which hide concurrent writes on purpose, nor for keys with a time to live.
/// </summary>
/// <remarks>
/// <para>
/// The end is what every replica holds once writes have stopped and the replicas have converged; <see cref="ConvergenceChecker"/> comes first.
/// </para>
/// <para>
/// Lost. A write v may supersede a write u if v was not definitely without effect, can have taken effect after u did (it had not returned before u was
/// invoked; an unknown write may take effect at any later time), and covers it: v is blind, and so supersedes whatever its replica held by then, be it of a
/// concurrent client; or v's context names u's value. An acknowledged write is accounted for if its value is still there, or if a chain of writes leads from
/// it, each possibly superseding the one before at ever later moments, to a write whose value is still there or to a delete. Otherwise it is lost: the last
/// write of such a chain has nobody to supersede it and is not there. Chains of different writes are not held against each other, so a loss may be missed but
/// none is invented.
/// </para>
/// <para>
/// Resurrected. A write that named its context supersedes exactly the values that it saw. If it was acknowledged, and the seen value had a single writer who
/// had been answered before and wrote it once (<see cref="RecordedOperation.MayBeTwice"/>), then the value must be gone. Blind writes prove nothing of the kind: they may have met a replica that lacked the value.
/// </para>
/// <para>
/// Invented. See <see cref="ProvenanceChecker"/>.
/// </para>
/// </remarks>
public static class AcknowledgedWriteChecker
{
    /// <summary>Checks a history against its end.</summary>
    /// <param name="history">What happened, with a key-value or register model.</param>
    /// <param name="end">What the replicas hold now: the values of each key.</param>
    /// <returns>All faults; none if all is well.</returns>
    /// <exception cref="ArgumentException">The history's model does not write whole values.</exception>
    public static IReadOnlyList<AcknowledgedWriteViolation> Check(History history, ReplicaDump end)
    {
        ArgumentNullException.ThrowIfNull(history);
        ArgumentNullException.ThrowIfNull(end);
        if (!history.Model.ReadsReturnWrittenValues)
        {
            throw new ArgumentException($"The model {history.Model.Name} does not write whole values.", nameof(history));
        }

        var violations = new List<AcknowledgedWriteViolation>();
        foreach (var invented in ProvenanceChecker.Check(history).Concat(InventedAtEnd(history, end)))
        {
            violations.Add(new AcknowledgedWriteViolation(AcknowledgedWriteFault.Invented, invented.Key, invented.Explanation, invented.Read));
        }

        foreach (var key in history.Operations.Where(operation => operation.MayHaveWritten).GroupBy(operation => operation.Key))
        {
            RecordedOperation[] writes = [.. key];
            var visible = end.ValuesOf(key.Key);
            violations.AddRange(writes.Where(write => IsLost(write, writes, visible)).Select(DescribeLoss));
            violations.AddRange(Resurrections(writes, visible));
        }

        return violations;
    }

    private static IEnumerable<ProvenanceViolation> InventedAtEnd(History history, ReplicaDump end)
    {
        var writes = ProvenanceChecker.WritesByValue(history);
        return from key in end.Keys
               from value in end.ValuesOf(key)
               let violation = ProvenanceChecker.Trace(writes, key, value, read: null, seenAt: long.MaxValue)
               where violation is not null
               select violation;
    }

    private static bool IsLost(RecordedOperation write, RecordedOperation[] writes, IReadOnlySet<string> visible)
    {
        if (write.Outcome != RecordedOutcome.Done || IsAccountedFor(write, visible))
        {
            return false;
        }

        // The earliest moment at which each write can have taken effect as part of a chain from the lost one; earlier is always better.
        var earliest = new Dictionary<RecordedOperation, long>(ReferenceEqualityComparer.Instance) { [write] = write.InvokeOrder };
        var open = new PriorityQueue<RecordedOperation, long>();
        open.Enqueue(write, write.InvokeOrder);
        while (open.TryDequeue(out var superseded, out var at))
        {
            foreach (var successor in writes)
            {
                if (earliest.ContainsKey(successor) || successor.LatestEffect < at || !Covers(successor, superseded))
                {
                    continue;
                }

                if (IsAccountedFor(successor, visible))
                {
                    return false;
                }

                // Moments leave the queue in rising order, so the first one that reaches a write is its earliest.
                var moment = Math.Max(at, successor.InvokeOrder);
                earliest.Add(successor, moment);
                open.Enqueue(successor, moment);
            }
        }

        return true;
    }

    private static bool IsAccountedFor(RecordedOperation write, IReadOnlySet<string> visible) => write.Input is null || visible.Contains(write.Input);

    private static bool Covers(RecordedOperation successor, RecordedOperation superseded) =>
        successor.Context is null || (superseded.Input is not null && successor.Context.Contains(superseded.Input));

    private static AcknowledgedWriteViolation DescribeLoss(RecordedOperation write) =>
        new(AcknowledgedWriteFault.Lost, write.Key, $"An acknowledged write has vanished, and no other can have superseded it: \"{write}\".", write);

    private static IEnumerable<AcknowledgedWriteViolation> Resurrections(RecordedOperation[] writes, IReadOnlySet<string> visible)
    {
        foreach (var successor in writes)
        {
            if (successor is not { Outcome: RecordedOutcome.Done, Context: { } context })
            {
                continue;
            }

            foreach (var value in context.Where(visible.Contains))
            {
                RecordedOperation[] writers = [.. writes.Where(write => write.Input == value)];
                if (writers is [{ Outcome: RecordedOutcome.Done, MayBeTwice: false } writer] && writer.ReturnOrder < successor.InvokeOrder)
                {
                    var explanation = $"\"{writer}\" was superseded by \"{successor}\", and yet its value is there.";
                    yield return new AcknowledgedWriteViolation(AcknowledgedWriteFault.Resurrected, writer.Key, explanation, writer);
                }
            }
        }
    }
}
