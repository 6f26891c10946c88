using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Every write that was acknowledged was applied somewhere, or stands in a journal of lost writes. Each put has a value of its own, so the value stands for the write. A journal may name one that another
/// attempt has brought in; in a sync keyspace it names none.
/// </summary>
internal sealed class LostWriteWatch
{
    private const string Name = "LostWritesAreJournaled";

    private readonly HashSet<string> _applied = [];
    private readonly Dictionary<string, Acknowledged> _acknowledged = [];

    public void OnApplied(ReadOnlyMemory<byte> record)
    {
        if (record.Span is [OrderedRecord.Tag, ..])
        {
            _applied.Add(ClientKeys.TextOf(OrderedRecord.Decode(record).Value));
        }
    }

    public void OnAcknowledged(string value, SimulatedNode node, ReplicaId replica, int incarnation) => _acknowledged[value] = new Acknowledged(node, replica, incarnation);

    public void Check(SimulatedCluster cluster, ScenarioSettings settings)
    {
        HashSet<string> journaled = Journaled(cluster, settings);
        foreach ((string value, Acknowledged by) in _acknowledged)
        {
            if (!_applied.Contains(value) && !journaled.Contains(value) && !IsExcused(by, settings))
            {
                throw new SimulationFailedException(Name, $"The write of {value} was acknowledged by {by.Node.Id}, is lost, and stands in no journal.");
            }
        }
    }

    private static HashSet<string> Journaled(SimulatedCluster cluster, ScenarioSettings settings)
    {
        var journaled = new HashSet<string>();
        foreach (SimulatedNode node in cluster.Up)
        {
            foreach (LostWrite write in node.Replica!.LostWrites.Read(0, int.MaxValue))
            {
                if (settings.Mode.Replication == Replication.Sync)
                {
                    throw new SimulationFailedException(Name, $"{node.Id} calls the write at {write.Index} lost in a sync keyspace.");
                }

                journaled.Add(write.IsDelete ? "" : ClientKeys.TextOf(write.Value));
                cluster.Trace.Count("lost write in a journal");
            }
        }

        return journaled;
    }

    /// <summary>Best-effort: a process that ends takes what was not on the disk yet with it. And nobody can ask a replica that is gone.</summary>
    private static bool IsExcused(in Acknowledged by, ScenarioSettings settings) =>
        (settings.Mode.Replication == Replication.BestEffort && by.Node.Incarnation != by.Incarnation)
        || by.Node.RefusesToStart is not null
        || by.Node.ReplicaId != by.Replica
        || by.Node.Replica is { LostWrites.Dropped: > 0 };

    private readonly record struct Acknowledged(SimulatedNode Node, ReplicaId Replica, int Incarnation);
}
