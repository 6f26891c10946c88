using KvStore.Core.Policy;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Nodes;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// A shard whose mode an operator keeps changing, in both directions, while clients work and faults strike. Whatever was acknowledged in any regime must be there in the end, unless it was superseded;
/// epochs mean the same everywhere; no request has two effects; and in the end all replicas are equal.
/// </summary>
internal static class DialPlay
{
    /// <summary>From the settings of an ordered run: some begin open, and most have short logs, so that who was away needs snapshots and copies.</summary>
    public static ScenarioSettings Adapt(ScenarioSettings drawn, Random random) => drawn with
    {
        Mode = new KeyspaceMode(random.Next(2) == 0 ? PartitionChoice.Cp : PartitionChoice.Ap, Replication.Sync),
        Nodes = random.Next(10) switch { < 6 => 3, < 9 => 5, _ => 4 },
        Switches = true,
        FaultEveryMs = drawn.FaultEveryMs == 400 ? 800 : drawn.FaultEveryMs,
        Replica = drawn.Replica with { PullTicks = random.Next(2) == 0 ? 8 : 80, AdvertiseTicks = random.Next(2) == 0 ? 4 : 20 },
    };

    /// <summary>Adaptive is one of the modes; whoever is without a leader then serves on after a short while.</summary>
    public static ScenarioSettings WithAdaptive(ScenarioSettings drawn, Random random) => drawn with
    {
        Mode = random.Next(2) == 0 ? new KeyspaceMode(PartitionChoice.Adaptive, Replication.Sync) : drawn.Mode,
        SwitchesToAdaptive = true,
        ProvisionalAfter = new ProvisionalAfter(1_000),
        FaultEveryMs = drawn.FaultEveryMs == 0 ? 0 : Math.Max(1_200, drawn.FaultEveryMs),
    };

    public static void Play(SimulationStage stage, IEnumerable<Strike> plan)
    {
        SimulatedCluster cluster = stage.Cluster;
        var context = new ClientContext(cluster, stage.Recorder, new AnswerWatch(cluster.Watch) { AcknowledgesEarly = true });
        var reads = new SwitchedReads();
        List<SwitchClient> clients = [];
        for (int i = 0; i < stage.Settings.Clients; i++)
        {
            clients.Add(new SwitchClient(context, cluster.Watch.Regimes, reads, i, stage.Seeds.Next(), stage.Settings.OperationsPerClient));
        }

        var operatorOfModes = new ModeChanges(cluster, stage.Seeds.Next());
        Random ending = stage.Seeds.Next();
        bool endsOpen = ending.Next(3) == 0;
        PartitionChoice ordered = stage.Settings.SwitchesToAdaptive && ending.Next(2) == 0 ? PartitionChoice.Adaptive : PartitionChoice.Cp;
        clients.ForEach(client => client.Begin());
        operatorOfModes.Begin();
        MembershipFaults? members = stage.Settings.ReplacesDisk ? new MembershipFaults(cluster, stage.Seeds.Next()) : null;
        members?.Begin();
        stage.Faults.Begin(plan);
        stage.Timeline.RunUntil(() => clients.TrueForAll(client => client.HasFinished), stage.Settings.WorkUs);
        context.Stopping = true;
        stage.Faults.HealAll();
        operatorOfModes.Insist(new KeyspaceMode(endsOpen ? PartitionChoice.Ap : ordered, Replication.Sync));
        members?.Settle();
        stage.Demand("after the heal, every pending operation ends", () => clients.TrueForAll(client => client.IsIdle), 60_000_000);
        stage.Demand("after the heal, the members settle", () => members?.IsSettled != false, 90_000_000);
        stage.Demand("after the heal, the shard comes to the mode that is wanted", () => operatorOfModes.IsSettled, 90_000_000);
        context.Loss = 0;
        var last = new SwitchClient(context, cluster.Watch.Regimes, reads, clients.Count, stage.Seeds.Next(), 0);
        last.PutNow(0);
        stage.Demand("after the heal, a new write is done", () => IsDoneOrAskedAgain(last), 20_000_000);
        if (endsOpen)
        {
            stage.Demand("after the heal, all clocks are equal and nothing waits for a peer", () => OpenVerdict.HasConverged(cluster), 60_000_000);
        }
        else
        {
            stage.Demand("after the heal, all replicas apply the same", () => HaveAppliedTheSame(cluster), 30_000_000);
        }

        stage.Demand("after the heal, nothing is pending", () => cluster.Usable.All(node => node.Replica?.PendingCount == 0), 10_000_000);
        stage.Timeline.RunFor(2_000_000);
        if (endsOpen)
        {
            JudgeOpen(stage);
        }
        else
        {
            SwitchVerdict.CheckAcknowledged(stage.Recorder.ToHistory(), SwitchVerdict.CompareViews(cluster));
        }
    }

    private static void JudgeOpen(SimulationStage stage)
    {
        var dumps = new OpenDumps(stage.Cluster, stage.Cluster.Nodes);
        stage.Demand("after the heal, every replica answers for every key", () => dumps.AreComplete, 5_000_000);
        TestKit.Histories.ConvergenceResult converged = TestKit.Histories.ConvergenceChecker.Check(dumps.Contents);
        stage.Require(converged.Converged, $"replicas with equal clocks hold equal data: {converged}");
        SwitchVerdict.CheckAcknowledged(stage.Recorder.ToHistory(), dumps.Values[0]);
    }

    private static bool IsDoneOrAskedAgain(SwitchClient client)
    {
        if (client.IsIdle && !client.LastWasDone)
        {
            client.PutNow(0);
        }

        return client.IsIdle && client.LastWasDone;
    }

    private static bool HaveAppliedTheSame(SimulatedCluster cluster)
    {
        IReadOnlyList<SimulatedNode> nodes = cluster.Usable;
        return nodes.All(node => node.Replica is { } replica && replica.Position.Applied == nodes[0].Replica?.Position.Applied);
    }
}
