using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>In the end, replicas at the same position hold the same records, byte for byte: the data, and the dedup table.</summary>
internal static class EqualViews
{
    private const string DedupTables = "EqualDedupTables";
    private const long ReadUs = 5_000_000;

    public static void Check(SimulatedCluster cluster, IReadOnlyList<SimulatedNode> nodes)
    {
        var dumps = new SortedDictionary<NodeId, IReadOnlyList<ScannedRecord>>();
        foreach (SimulatedNode node in nodes)
        {
            if (node.View!.UnsealedBytes != 0)
            {
                throw new SimulationFailedException(SimulationFailedException.Progress, $"{node.Id} has not sealed its view although it had the time.");
            }

            node.Dump(records => dumps[node.Id] = records);
        }

        if (!cluster.Timeline.RunUntil(() => dumps.Count == nodes.Count, ReadUs))
        {
            throw new SimulationFailedException(SimulationFailedException.Progress, "The views can't be read.");
        }

        NodeId first = nodes[0].Id;
        foreach ((NodeId node, IReadOnlyList<ScannedRecord> records) in dumps)
        {
            Compare(nameof(EqualViews), first, node, dumps[first], records, record => record.Space != RecordSpace.Meta);
            Compare(DedupTables, first, node, dumps[first], records, record => record.Space == RecordSpace.Meta);
        }
    }

    private static void Compare(string name, NodeId one, NodeId other, IReadOnlyList<ScannedRecord> ofOne, IReadOnlyList<ScannedRecord> ofOther, Func<ScannedRecord, bool> counts)
    {
        List<ScannedRecord> left = [.. ofOne.Where(counts)];
        List<ScannedRecord> right = [.. ofOther.Where(counts)];
        if (left.Count != right.Count || !left.Zip(right).All(pair => IsSame(pair.First, pair.Second)))
        {
            throw new SimulationFailedException(name, $"{one} ({left.Count} records) and {other} ({right.Count} records) hold different ones at the same position.");
        }
    }

    private static bool IsSame(in ScannedRecord one, in ScannedRecord other) =>
        one.Space == other.Space && one.Key.Span.SequenceEqual(other.Key.Span) && one.Record.Span.SequenceEqual(other.Record.Span);
}
