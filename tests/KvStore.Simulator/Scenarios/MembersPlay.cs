using KvStore.Simulator.Faults;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// An ordered shard whose members change while clients work and faults strike: everything that holds for fixed members must hold, whoever they are at the moment.
/// </summary>
internal static class MembersPlay
{
    /// <summary>From the settings of an ordered run: some of the nodes are spares, and learners may vote earlier or later.</summary>
    public static ScenarioSettings Adapt(ScenarioSettings drawn, Random random)
    {
        int spares = random.Next(1, 4);
        return drawn with
        {
            Nodes = drawn.Nodes + spares,
            Spares = spares,
            OperationsPerClient = drawn.OperationsPerClient * 2,
            Replica = drawn.Replica with
            {
                SnapshotBytesPerSecond = random.Next(3) == 0 ? 5_000 : 256L * 1024 * 1024,
                Raft = drawn.Replica.Raft with { MaxPromotionLag = random.Next(3) switch { 0 => 2, 1 => 30, _ => 1_000 } },
            },
        };
    }

    public static void Play(SimulationStage stage, IEnumerable<Strike> plan)
    {
        var members = new MembershipFaults(stage.Cluster, stage.Seeds.Next());
        var play = new OrderedPlay(stage)
        {
            AfterHeal = () =>
            {
                members.Settle();
                stage.Demand("after the heal, the members settle", () => members.IsSettled, 90_000_000);
                stage.Cluster.IsMember = members.IsMember;
            },
        };
        play.Begin();
        members.Begin();
        stage.Faults.Begin(plan);
        stage.Timeline.RunUntil(() => play.AreClientsDone, stage.Settings.WorkUs);
        play.HealAndJudge();
    }
}
