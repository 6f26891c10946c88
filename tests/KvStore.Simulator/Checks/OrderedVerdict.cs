using KvStore.Simulator.Engine;
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
                throw new SimulationFailedException("NothingInvented", invented.Explanation);
            }

            return;
        }

        LinearizabilityResult result = LinearizabilityChecker.Check(history);
        if (result.Verdict != LinearizabilityVerdict.Linearizable)
        {
            throw new SimulationFailedException("Linearizability", $"{result}{Environment.NewLine}{string.Join(Environment.NewLine, history.Operations.Where(operation => operation.Key == result.Key))}");
        }
    }
}
