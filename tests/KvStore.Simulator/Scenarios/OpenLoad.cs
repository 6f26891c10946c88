using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Scenarios;

/// <summary>What plays of open shards of a special kind have in common: the load under faults up to the heal, and the judgement of one replica's end.</summary>
internal static class OpenLoad
{
    public static void Run(SimulationStage stage, IEnumerable<Strike> plan, Func<bool> hasConverged)
    {
        var context = new ClientContext(stage.Cluster, stage.Recorder, new AnswerWatch(stage.Cluster.Watch) { AcknowledgesEarly = true });
        List<OpenClient> clients = [];
        for (int i = 0; i < stage.Settings.Clients; i++)
        {
            clients.Add(new OpenClient(context, i, stage.Seeds.Next(), stage.Settings.OperationsPerClient));
        }

        clients.ForEach(client => client.Begin());
        stage.Faults.Begin(plan);
        stage.Timeline.RunUntil(() => clients.TrueForAll(client => client.HasFinished), stage.Settings.WorkUs);
        context.Stopping = true;
        stage.Faults.HealAll();
        stage.Demand("after the heal, every pending operation ends", () => clients.TrueForAll(client => client.IsIdle), 20_000_000);
        stage.Demand("after the heal, all clocks are equal and nothing waits for a peer", hasConverged, 60_000_000);
    }

    public static void Judge(History history, ReplicaDump end, Func<AcknowledgedWriteFault, bool> isAllowed)
    {
        foreach (AcknowledgedWriteViolation violation in AcknowledgedWriteChecker.Check(history, end))
        {
            if (!isAllowed(violation.Fault))
            {
                throw new SimulationFailedException(
                    "AcknowledgedOpenWrites",
                    $"{violation}{Environment.NewLine}In the end: {string.Join(", ", end.ValuesOf(violation.Key))}{Environment.NewLine}"
                    + string.Join(Environment.NewLine, history.Operations.Where(operation => operation.Key == violation.Key)));
            }
        }
    }
}
