using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;

namespace KvStore.Simulator.Scenarios;

/// <summary>An open shard: clients work while faults strike, then all replicas must come to hold the same, and nothing acknowledged may be gone.</summary>
internal static class OpenPlay
{
    public static void Play(SimulationStage stage, IEnumerable<Faults.Strike> plan)
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
        stage.Demand("after the heal, all clocks are equal and nothing waits for a peer", () => OpenVerdict.HasConverged(stage.Cluster), 60_000_000);
        context.Loss = 0;
        var last = new OpenClient(context, clients.Count, stage.Seeds.Next(), 0);
        for (int key = 0; key < stage.Settings.Keys; key++)
        {
            int wanted = key;
            last.QuorumGetNow(wanted);
            stage.Demand($"after the heal, a quorum read of k{key} is done", () => IsDoneOrAskedAgain(last, wanted), 5_000_000);
        }

        var dumps = new OpenDumps(stage.Cluster);
        stage.Demand("after the heal, every replica answers for every key", () => dumps.AreComplete, 5_000_000);
        stage.Demand("after the heal, nothing is pending", () => stage.Cluster.Nodes.TrueForAll(node => node.Replica?.PendingCount == 0), 10_000_000);
        stage.Demand("after the heal, all replicas have sealed what they hold", () => stage.Cluster.Nodes.TrueForAll(node => node.View?.UnsealedBytes == 0), 10_000_000);
        EqualOpenViews.Check(stage.Cluster, stage.Cluster.Nodes);
        OpenVerdict.Check(stage.Recorder.ToHistory(), dumps, context, stage.Faults);
    }

    /// <summary>A refusal right after the heal is right while the detector still calls the others down: who asks again gets an answer.</summary>
    private static bool IsDoneOrAskedAgain(OpenClient client, int key)
    {
        if (client.IsIdle && !client.LastWasDone)
        {
            client.QuorumGetNow(key);
        }

        return client.IsIdle && client.LastWasDone;
    }
}
