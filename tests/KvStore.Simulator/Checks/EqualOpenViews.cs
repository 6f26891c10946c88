using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>
/// In the end the replicas of an open shard hold the same records, byte for byte, no dot key is left, no record is the trace of a delete that all have seen, and each replica's digests are
/// what its records come to.
/// </summary>
internal static class EqualOpenViews
{
    private const string Digests = "TrueDigests";
    private const string Residue = "NoResidue";
    private const long ReadUs = 5_000_000;
    private const long ConvergeUs = 60_000_000;

    /// <summary>More than there are keys that expire.</summary>
    private const int MaxTries = 10;

    public static void Check(SimulatedCluster cluster, IReadOnlyList<SimulatedNode> nodes)
    {
        SortedDictionary<NodeId, IReadOnlyList<ScannedRecord>> dumps = Read(cluster, nodes);
        IReadOnlyList<ScannedRecord> first = DataOf(dumps[nodes[0].Id]);
        BucketDigests ofFirst = nodes[0].Replica!.CaptureDigests()!;
        foreach (SimulatedNode node in nodes)
        {
            IReadOnlyList<ScannedRecord> data = DataOf(dumps[node.Id]);
            if (data.Count != first.Count || !data.Zip(first).All(pair => IsSame(pair.First, pair.Second)))
            {
                throw new SimulationFailedException(nameof(EqualOpenViews), $"{nodes[0].Id} and {node.Id} have equal clocks and hold different records:{Environment.NewLine}{Text(first)}{Environment.NewLine}{Text(data)}");
            }

            int dotKeys = dumps[node.Id].Count(record => record.Space == RecordSpace.DotKeys);
            if (dotKeys > 0)
            {
                throw new SimulationFailedException(Residue, $"{node.Id} keeps the keys of {dotKeys} dots although every replica has them.");
            }

            if (node.Replica!.Describe().Open!.DifferentBuckets > 0)
            {
                throw new SimulationFailedException(Digests, $"{node.Id} says that its data differs from a peer's at an equal clock.");
            }

            BucketDigests captured = node.Replica!.CaptureDigests()!;
            if (!captured.Equals(Count(data)) || !captured.Equals(ofFirst))
            {
                throw new SimulationFailedException(Digests, $"{node.Id} has digests {captured}, its records come to {Count(data)}, those of {nodes[0].Id} are {ofFirst}.");
            }
        }
    }

    /// <summary>Everything in all views at a moment at which nothing changes. Where clocks were wrong, a value may expire while they are read: then they are read again.</summary>
    private static SortedDictionary<NodeId, IReadOnlyList<ScannedRecord>> Read(SimulatedCluster cluster, IReadOnlyList<SimulatedNode> nodes)
    {
        for (int tries = 0; tries < MaxTries; tries++)
        {
            List<ViewPosition> before = Positions(nodes);
            var dumps = new SortedDictionary<NodeId, IReadOnlyList<ScannedRecord>>();
            foreach (SimulatedNode node in nodes)
            {
                node.Dump(records => dumps[node.Id] = records);
            }

            if (!cluster.Timeline.RunUntil(() => dumps.Count == nodes.Count, ReadUs))
            {
                throw new SimulationFailedException(SimulationFailedException.Progress, "The views can't be read.");
            }

            if (before.SequenceEqual(Positions(nodes)))
            {
                return dumps;
            }

            if (!cluster.Timeline.RunUntil(() => OpenVerdict.HasConverged(cluster) && nodes.All(node => node.View?.UnsealedBytes == 0), ConvergeUs))
            {
                throw new SimulationFailedException(SimulationFailedException.Progress, "What changed while the views were read does not spread.");
            }
        }

        throw new SimulationFailedException(SimulationFailedException.Progress, "A shard that nobody asks for anything does not come to rest.");
    }

    private static List<ViewPosition> Positions(IReadOnlyList<SimulatedNode> nodes) => [.. nodes.Select(node => node.Replica!.Position)];

    private static List<ScannedRecord> DataOf(IReadOnlyList<ScannedRecord> records) => [.. records.Where(record => record.Space == RecordSpace.Data)];

    private static BucketDigests Count(IReadOnlyList<ScannedRecord> data)
    {
        BucketDigests counted = new();
        foreach (ScannedRecord record in data)
        {
            counted.Add(new Key(record.Key), DottedObject.Decode(record.Record));
        }

        return counted;
    }

    private static bool IsSame(in ScannedRecord one, in ScannedRecord other) => one.Key.Span.SequenceEqual(other.Key.Span) && one.Record.Span.SequenceEqual(other.Record.Span);

    private static string Text(IReadOnlyList<ScannedRecord> data) => string.Join("; ", data.Select(record => $"{new Key(record.Key)} {DottedObject.Decode(record.Record)}"));
}
