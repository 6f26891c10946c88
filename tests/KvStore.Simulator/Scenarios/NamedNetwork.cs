using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Scenarios;

/// <summary>Faults of the network that every cluster meets sooner or later, each with what a user may rely on.</summary>
public static class NamedNetwork
{
    public static void SplitOfTwoAndThree(ulong seed)
    {
        var run = new NamedRun(seed, nodes: 5);
        SimulatedNode old = run.Leader();
        SimulatedNode[] minority = [old, run.Others(old)[0]];
        SimulatedNode[] majority = run.Others(minority);
        run.CutOff(minority);
        for (int i = 0; i < 10; i++)
        {
            Completion? answer = run.Ask(minority[i % 2], run.Put(NamedRun.OwnKey, $"lost{i}"), 300);
            run.Stage.Require(answer is not { Outcome: Outcome.Done }, "the minority acknowledges nothing");
        }

        run.PutDone(NamedRun.OwnKey, "kept", majority);
        run.MustRead(NamedRun.OwnKey, "kept", majority);
        run.Judge();
    }

    public static void LeaderIsolated(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode old = run.PutDone(NamedRun.OwnKey, "before");
        run.CutOff(old);
        run.PutDone(NamedRun.OwnKey, "after", run.Others(old));
        for (int i = 0; i < 20; i++)
        {
            Completion? answer = run.Ask(old, run.Get(NamedRun.OwnKey), 100);
            run.Stage.Require(answer is not { Outcome: Outcome.Done }, "the isolated leader answers no read");
        }

        run.Stage.Require(!old.Replica!.IsLeader, "the isolated leader has stepped down");
        run.Judge();
    }

    public static void DeafFollower(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode leader = run.Leader();
        ulong term = run.MaxTerm;
        SimulatedNode deaf = run.Others(leader)[0];
        foreach (SimulatedNode other in run.Others(deaf))
        {
            run.Network.Cut(other.Index, deaf.Index);
        }

        run.MustProgress(20_000, atLeast: 100);
        run.Stage.Require(leader.Replica!.IsLeader && run.MaxTerm == term, "the leader and its term stay");
        run.Network.Heal();
        run.For(5_000);
        run.Stage.Require(leader.Replica!.IsLeader && run.MaxTerm == term, "the leader and its term stay after the heal");
        run.Judge();
    }

    public static void OneLinkCut(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode leader = run.Leader();
        run.Network.CutBoth(leader.Index, run.Others(leader)[0].Index);
        MustBeStable(run);
        run.Judge();
    }

    public static void Bridge(ulong seed)
    {
        var run = new NamedRun(seed, nodes: 5);
        int middle = (int)(seed % 5);
        for (int left = 1; left <= 2; left++)
        {
            for (int right = 3; right <= 4; right++)
            {
                run.Network.CutBoth((middle + left) % 5, (middle + right) % 5);
            }
        }

        MustBeStable(run);
        run.Judge();
    }

    public static void Ring(ulong seed)
    {
        var run = new NamedRun(seed, nodes: 5);
        for (int node = 0; node < 5; node++)
        {
            run.Network.CutBoth(node, (node + 2) % 5);
        }

        MustBeStable(run);
        run.Judge();
    }

    /// <param name="pace">The time between two changes, in shortest election timeouts.</param>
    public static void Flapping(ulong seed, double pace)
    {
        var run = new NamedRun(seed);
        SimulatedNode leader = run.Leader();
        ulong term = run.MaxTerm;
        int periodMs = (int)(pace * run.Stage.Settings.Replica.Raft.ElectionTicksMin * run.Stage.Settings.Replica.TickMs);
        for (int ms = 0; ms < 30_000; ms += 2 * periodMs)
        {
            run.CutOff(run.Others(leader)[0]);
            run.For(periodMs);
            run.Network.Heal();
            run.For(periodMs);
        }

        run.Stage.Require(leader.Replica!.IsLeader && run.MaxTerm == term, "a follower that comes and goes disturbs nobody");
        run.Judge();
    }

    public static void HeavyLoss(ulong seed)
    {
        var run = new NamedRun(seed, nodes: 5);
        run.Network.Loss = 0.3;
        run.MustProgress(20_000, atLeast: 20);
        run.Network.Loss = 0;
        SimulatedNode leader = run.Leader();
        run.Network.Cut(leader.Index, run.Others(leader)[0].Index);
        run.Network.Cut(run.Others(leader)[1].Index, leader.Index);
        run.MustProgress(10_000, atLeast: 20);
        run.Judge();
    }

    public static void MinutesLate(ulong seed)
    {
        var run = new NamedRun(seed, settings: calm => calm with { MaxThinkUs = 1_000_000 });
        run.Network.Duplication = 0.3;
        run.Network.Lateness = 1;
        run.Network.MaxLatenessUs = 150_000_000;
        for (int i = 0; i < 12; i++)
        {
            run.For(12_000);
            SimulatedNode leader = run.Leader();
            leader.Crash(power: true);
            run.For(2_000);
            run.Restart(leader);
        }

        run.Judge();
    }

    public static void Reordering(ulong seed)
    {
        var run = new NamedRun(
            seed,
            settings: calm => calm with { Replica = calm.Replica with { KeepEntries = 2, CompactStep = 1, SnapshotPageBytes = 100, Raft = calm.Replica.Raft with { MaxAppendBytes = 1 } } });
        run.Network.MaxDelayUs = 120_000;
        for (int i = 0; i < 5; i++)
        {
            SimulatedNode away = run.Others(run.Leader())[i % 2];
            away.Crash(power: false);
            run.For(3_000);
            run.Restart(away);
            run.For(3_000);
        }

        run.Stage.Require(run.Stage.Trace.Counts.ContainsKey("snapshot installed"), "snapshots were installed");
        run.Judge();
    }

    public static void SlowFollower(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode leader = run.Leader();
        run.Network.SlowNode = run.Others(leader)[0].Index;
        run.Network.SlowNodeDelayUs = 400_000;
        for (int i = 0; i < 100; i++)
        {
            long beganUs = run.Stage.Timeline.NowUs;
            Completion? answer = run.Ask(leader, run.Put(NamedRun.OwnKey, $"v{i}"));
            run.Stage.Require(answer is { Outcome: Outcome.Done }, "the put is done");
            run.Stage.Require(run.Stage.Timeline.NowUs - beganUs < 50_000, "a slow follower makes nobody wait");
            run.For(50);
        }

        run.Judge();
    }

    /// <summary>For half a minute: no new leader after the first seconds, few terms, and work gets done.</summary>
    private static void MustBeStable(NamedRun run)
    {
        ulong before = run.MaxTerm;
        run.For(5_000);
        SimulatedNode leader = run.Leader();
        ulong term = leader.Replica!.Term.Value;
        run.MustProgress(25_000, atLeast: 50);
        run.Stage.Require(leader.Replica!.IsLeader && leader.Replica.Term.Value == term, "one leader stays");
        run.Stage.Require(run.MaxTerm <= before + 3, "terms don't grow");
        run.PutDone(NamedRun.OwnKey, ClientKeys.Text(1), leader);
    }
}
