using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Scenarios;

/// <summary>An open shard: clients work while faults strike, then all replicas must come to hold the same, and nothing acknowledged may be gone.</summary>
internal static class OpenPlay
{
    public static void Play(SimulationStage stage, IEnumerable<Strike> plan)
    {
        var context = new ClientContext(stage.Cluster, stage.Recorder, new AnswerWatch(stage.Cluster.Watch) { AcknowledgesEarly = true });
        List<OpenClient> clients = [];
        for (int i = 0; i < stage.Settings.Clients; i++)
        {
            clients.Add(new OpenClient(context, i, stage.Seeds.Next(), stage.Settings.OperationsPerClient));
        }

        var typed = new TypedLoad(stage, context);
        clients.ForEach(client => client.Begin());
        var sessions = new SessionClients(context, stage.Seeds);
        sessions.Begin();
        typed.Begin();
        MembershipFaults? members = stage.Settings.Spares > 0 ? new MembershipFaults(stage.Cluster, stage.Seeds.Next()) : null;
        members?.Begin();
        stage.Faults.Begin(plan);
        stage.Timeline.RunUntil(() => clients.TrueForAll(client => client.HasFinished) && sessions.HaveFinished && typed.HasFinished, stage.Settings.WorkUs);
        context.Stopping = true;
        stage.Faults.HealAll();
        stage.Demand("after the heal, every pending operation ends", () => clients.TrueForAll(client => client.IsIdle) && sessions.AreIdle && typed.IsIdle, 20_000_000);
        if (members is not null)
        {
            members.Settle();
            stage.Demand("after the heal, the members settle", () => members.IsSettled, 90_000_000);
            stage.Cluster.IsMember = members.IsMember;
        }

        Judge(stage, context, typed, new OpenClient(context, clients.Count, stage.Seeds.Next(), 0), stage.Faults.Wiped || members?.HasLostDisk == true);
    }

    private static void Judge(SimulationStage stage, ClientContext context, TypedLoad typed, OpenClient last, bool lostDisk)
    {
        stage.Demand("after the heal, all clocks are equal and nothing waits for a peer", () => OpenVerdict.HasConverged(stage.Cluster), 60_000_000);
        context.Loss = 0;
        for (int key = 0; key < stage.Settings.Keys; key++)
        {
            int wanted = key;
            last.QuorumGetNow(wanted);
            stage.Demand($"after the heal, a quorum read of k{key} is done", () => IsDoneOrAskedAgain(last, wanted), 5_000_000);
        }

        IReadOnlyList<SimulatedNode> nodes = stage.Cluster.Usable;
        typed.Judge(() => nodes);
        stage.Demand("after what has expired is gone, all clocks are equal again", () => OpenVerdict.HasConverged(stage.Cluster), 60_000_000);
        var dumps = new OpenDumps(stage.Cluster, nodes);
        stage.Demand("after the heal, every replica answers for every key", () => dumps.AreComplete, 5_000_000);
        stage.Demand("after the heal, nothing is pending", () => nodes.All(node => node.Replica?.PendingCount == 0), 10_000_000);
        stage.Demand("after the heal, all replicas have sealed what they hold", () => nodes.All(node => node.View?.UnsealedBytes == 0), 10_000_000);
        EqualOpenViews.Check(stage, nodes);
        OpenVerdict.Check(stage.Recorder.ToHistory(), dumps, context, stage.Faults, lostDisk);
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
