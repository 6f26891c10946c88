using KvStore.Core.Policy;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// An open shard in which the newest of concurrent values wins: clients work while faults strike and losers are dropped in the background; in the end all replicas hold the same one value for each key, one that
/// somebody wrote, and none that a write which saw it has superseded.
/// </summary>
internal static class LwwPlay
{
    public static ScenarioSettings Adapt(ScenarioSettings drawn, Random random) => drawn with
    {
        Conflicts = ConflictRule.LastWriterWins,
        Replica = drawn.Replica with { SweepGraceMs = random.Next(3) switch { 0 => 0, 1 => 100, _ => 1_000 } },
    };

    public static void Play(SimulationStage stage, IEnumerable<Strike> plan)
    {
        OpenLoad.Run(stage, plan, () => OpenVerdict.HasConverged(stage.Cluster));

        // Sweeps are writes: they spread like others.
        long sweptUs = (stage.Settings.Replica.SweepGraceMs + 2_000) * 1_000L;
        stage.Timeline.RunUntil(() => false, sweptUs);
        stage.Demand("after the sweeps, all clocks are equal again", () => OpenVerdict.HasConverged(stage.Cluster), 60_000_000);
        var dumps = new OpenDumps(stage.Cluster, stage.Cluster.Nodes);
        stage.Demand("after the heal, every replica answers for every key", () => dumps.AreComplete, 5_000_000);
        stage.Demand("after the heal, nothing is pending", () => stage.Cluster.Nodes.TrueForAll(node => node.Replica?.PendingCount == 0), 10_000_000);
        stage.Demand("after the heal, all replicas have sealed what they hold", () => stage.Cluster.Nodes.TrueForAll(node => node.View?.UnsealedBytes == 0), 10_000_000);
        EqualOpenViews.Check(stage, stage.Cluster.Nodes);
        ConvergenceResult converged = ConvergenceChecker.Check(dumps.Contents);
        if (!converged.Converged)
        {
            throw new SimulationFailedException("Convergence", $"The clocks are equal, the data is not: {converged}");
        }

        stage.Require(dumps.LosersLeft == 0, "all losers are dropped");
        bool mayLose = stage.Settings.Mode.Replication == Replication.BestEffort && stage.Faults.Crashed;
        OpenLoad.Judge(stage.Recorder.ToHistory(), dumps.Values[0], fault => fault == AcknowledgedWriteFault.Lost || (fault == AcknowledgedWriteFault.Resurrected && mayLose));
    }
}
