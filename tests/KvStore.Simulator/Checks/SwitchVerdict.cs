using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Checks;

/// <summary>Judges a shard that has changed its regime again and again, when it is over.</summary>
internal static class SwitchVerdict
{
    private const long ReadUs = 5_000_000;

    /// <summary>Ordered at the end: all replicas hold the same values under the same dots, and remember the same requests. Returns the values.</summary>
    public static ReplicaDump CompareViews(SimulatedCluster cluster)
    {
        IReadOnlyList<SimulatedNode> nodes = cluster.Usable;
        var dumps = new SortedDictionary<int, IReadOnlyList<ScannedRecord>>();
        foreach (SimulatedNode node in nodes)
        {
            node.Dump(records => dumps[node.Index] = records);
        }

        if (!cluster.Timeline.RunUntil(() => dumps.Count == nodes.Count, ReadUs))
        {
            throw new SimulationFailedException(SimulationFailedException.Progress, "The views can't be read.");
        }

        ReplicaDump? end = null;
        List<string>? first = null;
        foreach ((int index, IReadOnlyList<ScannedRecord> records) in dumps)
        {
            List<string> described = [.. records.Select(Describe).OfType<string>()];
            first ??= described;
            end ??= ValuesOf(records);
            if (!first.SequenceEqual(described))
            {
                IEnumerable<string> different = first.Except(described).Concat(described.Except(first)).Take(6);
                throw new SimulationFailedException("EqualViews", $"{cluster.Nodes[index].Id} and {nodes[0].Id} hold different records: {string.Join(Environment.NewLine, different)}");
            }
        }

        return end!;
    }

    public static void CheckAcknowledged(History history, ReplicaDump end)
    {
        foreach (AcknowledgedWriteViolation violation in AcknowledgedWriteChecker.Check(history, end))
        {
            throw new SimulationFailedException(
                "AcknowledgedSwitchedWrites",
                $"{violation}{Environment.NewLine}In the end: {string.Join(", ", end.ValuesOf(violation.Key))}{Environment.NewLine}"
                + string.Join(Environment.NewLine, history.Operations.Where(operation => operation.Key == violation.Key)));
        }
    }

    /// <summary>Null: it says nothing. The context of a record may have been stripped earlier here than there, and the trace of a delete removed.</summary>
    private static string? Describe(ScannedRecord record)
    {
        if (record.Space == RecordSpace.Data)
        {
            DottedObject stored = DottedObject.Decode(record.Record);
            return stored.IsEmpty ? null : $"{Convert.ToHexString(record.Key.Span)}: {string.Join(' ', stored.Values.ToArray().Select(value => $"{value.Dot} {value.Timestamp} {Convert.ToHexString(value.Value.Span)}"))}";
        }

        // Since when terms are known says where the replica began to apply: its own.
        return record.Key.Span.SequenceEqual("terms"u8) ? null : $"{record.Space} {System.Text.Encoding.UTF8.GetString(record.Key.Span)}: {Convert.ToHexString(record.Record.Span)}";
    }

    private static ReplicaDump ValuesOf(IReadOnlyList<ScannedRecord> records)
    {
        var end = new ReplicaDump("the log");
        foreach (ScannedRecord record in records.Where(record => record.Space == RecordSpace.Data))
        {
            foreach (DottedValue value in DottedObject.Decode(record.Record).Values)
            {
                end.Add(System.Text.Encoding.UTF8.GetString(record.Key.Span), ClientKeys.TextOf(value.Value));
            }
        }

        return end;
    }
}
