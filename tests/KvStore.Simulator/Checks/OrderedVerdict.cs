using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;
using KvStore.TestKit.Histories;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Checks;

/// <summary>Judges what an ordered shard has done, when it is over.</summary>
internal static class OrderedVerdict
{
    /// <summary>Sync: linearizable. The others may lose acknowledged writes in a failover, but invent nothing.</summary>
    public static void CheckHistory(History history, ScenarioSettings settings)
    {
        if (settings.Mode.Replication != Replication.Sync)
        {
            foreach (ProvenanceViolation invented in ProvenanceChecker.Check(history))
            {
                throw new SimulationFailedException(invented.Explanation);
            }

            return;
        }

        LinearizabilityResult result = LinearizabilityChecker.Check(history);
        if (result.Verdict != LinearizabilityVerdict.Linearizable)
        {
            throw new SimulationFailedException($"{result}{Environment.NewLine}{string.Join(Environment.NewLine, history.Operations.Where(operation => operation.Key == result.Key))}");
        }
    }

    /// <summary>Replicas at the same position hold the same records: the data and the dedup table.</summary>
    public static void CheckEqualViews(SimulatedCluster cluster)
    {
        var dumps = new Dictionary<NodeId, IReadOnlyList<ScannedRecord>>();
        IReadOnlyList<SimulatedNode> nodes = cluster.Usable;
        foreach (SimulatedNode node in nodes)
        {
            if (node.View!.UnsealedBytes != 0)
            {
                throw new SimulationFailedException($"{node.Id} has not sealed its view although it had the time.");
            }

            node.Dump(records => dumps[node.Id] = records);
        }

        if (!cluster.Timeline.RunUntil(() => dumps.Count == nodes.Count, 5_000_000))
        {
            throw new SimulationFailedException("The views can't be read.");
        }

        IReadOnlyList<ScannedRecord> first = dumps[nodes[0].Id];
        foreach ((NodeId node, IReadOnlyList<ScannedRecord> records) in dumps.OrderBy(dump => dump.Key))
        {
            if (records.Count != first.Count || !records.Zip(first).All(pair => IsSame(pair.First, pair.Second)))
            {
                throw new SimulationFailedException($"The views of {nodes[0].Id} ({first.Count} records) and {node} ({records.Count} records) differ at the same position.");
            }
        }
    }

    private static bool IsSame(in ScannedRecord one, in ScannedRecord other) =>
        one.Space == other.Space && one.Key.Span.SequenceEqual(other.Key.Span) && one.Record.Span.SequenceEqual(other.Record.Span);
}
