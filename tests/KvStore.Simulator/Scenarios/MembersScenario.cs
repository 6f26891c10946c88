using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// An ordered shard whose members change while clients work and faults strike: everything that holds for fixed members must hold, whoever they are at the moment.
/// </summary>
/// <param name="Demand">Fails the run if something does not come true within so many microseconds.</param>
internal sealed record MembersScenario(
    SimulatedCluster Cluster, ScenarioSettings Settings, FaultSchedule Faults, HistoryRecorder Recorder, SeedSource Seeds, Action<string, Func<bool>, long> Demand)
{
    private const long WorkUs = 30_000_000;

    public void Play()
    {
        var answers = new AnswerWatch { AcknowledgesEarly = Settings.Mode.Replication != Core.Policy.Replication.Sync };
        var context = new ClientContext(Cluster, Recorder, answers);
        List<OrderedClient> clients = [];
        for (int i = 0; i < Settings.Clients; i++)
        {
            clients.Add(new OrderedClient(context, i, Seeds.Next(), Settings.OperationsPerClient));
        }

        var members = new MembershipFaults(Cluster, Seeds.Next());
        clients.ForEach(client => client.Begin());
        Faults.Begin();
        members.Begin();
        Cluster.Timeline.RunUntil(() => clients.TrueForAll(client => client.HasFinished), WorkUs);
        context.Stopping = true;
        Faults.HealAll();
        members.Settle();
        Demand("every pending operation ends", () => clients.TrueForAll(client => client.IsIdle), 60_000_000);
        Demand("the members settle", () => members.IsSettled, 60_000_000);

        context.Loss = 0;
        var last = new OrderedClient(context, clients.Count, Seeds.Next(), 0);
        for (int key = 0; key < Settings.Keys; key++)
        {
            int each = key;
            last.PutNow(each);
            Demand($"a new write of k{key} is done", () => last.IsIdle && last.LastWasDone, 20_000_000);
            last.GetNow(each);
            Demand($"a new read of k{key} is done", () => last.IsIdle && last.LastWasDone, 20_000_000);
        }

        IReadOnlyList<SimulatedNode> nodes = members.MemberNodes;
        Demand("all members apply the same", () => nodes.All(node => node.Replica!.Position == nodes[0].Replica!.Position), 20_000_000);
        Demand("nothing is pending", () => nodes.All(node => node.Replica!.PendingCount == 0), 10_000_000);
        Cluster.Timeline.RunFor(2_000_000);
        OrderedVerdict.CheckEqualViews(Cluster, nodes);
        OrderedVerdict.CheckHistory(Recorder.ToHistory(), Settings);
    }

    /// <summary>From the settings of a cp run: some of the nodes are spares, and learners are let in more or less late.</summary>
    public static ScenarioSettings Adapt(ScenarioSettings drawn, Random random) => drawn with
    {
        Nodes = drawn.Nodes + random.Next(1, 4),
        Founders = drawn.Nodes,
        OperationsPerClient = drawn.OperationsPerClient * 2,
        Replica = drawn.Replica with
        {
            SnapshotBytesPerSecond = random.Next(3) == 0 ? 5_000 : 256L * 1024 * 1024,
            Raft = drawn.Replica.Raft with { MaxPromotionLag = random.Next(3) switch { 0 => 2, 1 => 30, _ => 1_024 } },
        },
    };
}
