using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Every write that was acknowledged was applied somewhere, or stands in a journal of lost writes. Each put has a value of its own, so the value stands for the write.
/// A journal may name one that another attempt has brought in.
/// </summary>
internal sealed class LostWriteWatch
{
    private readonly HashSet<string> _applied = [];
    private readonly Dictionary<string, (SimulatedNode Node, int Incarnation)> _acknowledged = [];

    public void OnApplied(ReadOnlyMemory<byte> record)
    {
        if (record.Span is [OrderedRecord.Tag, ..])
        {
            _applied.Add(ClientKeys.TextOf(OrderedRecord.Decode(record).Value));
        }
    }

    public void OnAcknowledged(string value, SimulatedNode node, int incarnation) => _acknowledged[value] = (node, incarnation);

    public void Check(SimulatedCluster cluster, ScenarioSettings settings)
    {
        var journaled = new HashSet<string>();
        foreach (SimulatedNode node in cluster.Nodes)
        {
            foreach (LostWrite write in node.Replica!.LostWrites.Read(0, int.MaxValue).Where(write => !write.IsDelete))
            {
                string value = ClientKeys.TextOf(write.Value);
                journaled.Add(value);
                cluster.Trace.Count("lost write in a journal");
                if (settings.Mode.Replication == Replication.Sync)
                {
                    throw new SimulationFailedException($"{node.Id} calls {value} lost in a sync keyspace.");
                }
            }
        }

        foreach ((string value, (SimulatedNode node, int incarnation)) in _acknowledged)
        {
            bool excused = settings.Mode.Replication == Replication.BestEffort && node.Incarnation != incarnation;
            if (!_applied.Contains(value) && !journaled.Contains(value) && !excused)
            {
                throw new SimulationFailedException($"The write of {value} was acknowledged by {node.Id}, is lost, and stands in no journal.");
            }
        }
    }
}
