using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

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
    private const long RestUs = 60_000_000;

    /// <summary>More than there are values that can still expire, each of which does so once.</summary>
    private const int MaxReadings = 20;

    /// <summary>
    /// Reading the views takes time, and digests are what they are in the end of it: they say something of what was read if no clock has moved meanwhile. An expiry moves it. Where wall clocks were wrong no time can be
    /// named by which everything has expired, so what an expiry overtook is read again, as often as keys can still expire. Nobody else writes any more, and whatever is wrong at clocks that stand still is a failure at once.
    /// </summary>
    public static void Check(SimulationStage stage, IReadOnlyList<SimulatedNode> nodes)
    {
        IReadOnlyList<ScannedRecord>? overtaken = null;
        for (int reading = 0; reading < MaxReadings; reading++)
        {
            stage.Demand("before the views are read, all clocks are equal and all is sealed", () => AreAtRest(stage.Cluster, nodes), RestUs);
            List<string> clocks = ClocksOf(nodes);
            SortedDictionary<NodeId, IReadOnlyList<ScannedRecord>> dumps = Read(stage.Cluster, nodes);
            if (overtaken is not null)
            {
                RequireOnlyExpiries(overtaken, DataOf(dumps[nodes[0].Id]));
            }

            if (!stage.Settings.CountsAndExpires || clocks.SequenceEqual(ClocksOf(nodes)))
            {
                Compare(nodes, dumps);
                return;
            }

            overtaken = DataOf(dumps[nodes[0].Id]);
        }

        throw new SimulationFailedException(SimulationFailedException.Progress, $"The clocks moved in each of {MaxReadings} readings of the views, although nobody writes.{Environment.NewLine}{stage.Describe()}");
    }

    private static bool AreAtRest(SimulatedCluster cluster, IReadOnlyList<SimulatedNode> nodes)
        => OpenVerdict.HasConverged(cluster) && nodes.All(node => node.Replica?.PendingCount == 0 && node.View?.UnsealedBytes == 0);

    private static List<string> ClocksOf(IReadOnlyList<SimulatedNode> nodes) => [.. nodes.Select(node => node.Replica!.Describe().Clock)];

    private static SortedDictionary<NodeId, IReadOnlyList<ScannedRecord>> Read(SimulatedCluster cluster, IReadOnlyList<SimulatedNode> nodes)
    {
        var dumps = new SortedDictionary<NodeId, IReadOnlyList<ScannedRecord>>();
        foreach (SimulatedNode node in nodes)
        {
            node.Dump(records => dumps[node.Id] = records);
        }

        if (!cluster.Timeline.RunUntil(() => dumps.Count == nodes.Count, ReadUs))
        {
            throw new SimulationFailedException(SimulationFailedException.Progress, "The views can't be read.");
        }

        return dumps;
    }

    /// <summary>Between two readings, values of the keys that expire went, and nothing else happened.</summary>
    private static void RequireOnlyExpiries(IReadOnlyList<ScannedRecord> before, IReadOnlyList<ScannedRecord> after)
    {
        List<ScannedRecord> stayed = Lasting(before), are = Lasting(after);
        if (stayed.Count != are.Count || !stayed.Zip(are).All(pair => IsSame(pair.First, pair.Second)))
        {
            throw new SimulationFailedException(nameof(EqualOpenViews), $"Nobody writes, and keys that don't expire have changed:{Environment.NewLine}{Text(stayed)}{Environment.NewLine}{Text(are)}");
        }
    }

    private static List<ScannedRecord> Lasting(IReadOnlyList<ScannedRecord> records) => [.. records.Where(record => !TypedLedger.IsExpiringKey(new Key(record.Key)))];

    private static void Compare(IReadOnlyList<SimulatedNode> nodes, SortedDictionary<NodeId, IReadOnlyList<ScannedRecord>> dumps)
    {
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
