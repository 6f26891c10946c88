using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Scenarios;

/// <summary>Processes that die, stand still and come back, and clocks that are wrong.</summary>
public static class NamedProcesses
{
    private const int HourMs = 3_600_000;

    public static void KillRightAfterTheAnswer(ulong seed)
    {
        var run = new NamedRun(seed);
        for (int i = 0; i < 10; i++)
        {
            SimulatedNode leader = run.PutDone(NamedRun.OwnKey, $"v{i}");
            leader.Crash(power: i % 2 == 0);
            run.MustRead(NamedRun.OwnKey, $"v{i}");
            run.Restart(leader);
            run.For(500);
        }

        run.Judge();
    }

    public static void PauseWithReadsInFlight(ulong seed)
    {
        var run = new NamedRun(seed);
        for (int i = 0; i < 5; i++)
        {
            SimulatedNode old = run.PutDone(NamedRun.OwnKey, $"before{i}");
            old.Pause(8_000_000);

            // Asked while the process stands still, answered when it goes on: after another leader has acknowledged a newer value.
            run.For(5_000);
            run.PutDone(NamedRun.OwnKey, $"after{i}", run.Others(old));
            int stale = 0;
            for (int read = 0; read < 20; read++)
            {
                string wanted = $"after{i}";
                run.Begin(old, run.Get(NamedRun.OwnKey), 10_000, answer => stale += answer is { Outcome: Outcome.Done, Found: true } && ClientKeys.TextOf(answer.Value) != wanted ? 1 : 0);
                run.For(170);
            }

            run.For(2_000);
            run.Stage.Require(stale == 0, "a leader that stood still gives no stale answer");
        }

        run.Judge();
    }

    public static void WallClocksJump(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode leader = run.Leader();
        var random = new Random((int)seed);
        for (int i = 0; i < 200; i++)
        {
            run.Nodes[random.Next(run.Nodes.Count)].Clock.WallSkewMs = random.Next(-HourMs, HourMs);
            run.For(100);
        }

        run.Stage.Require(leader.Replica!.IsLeader, "nobody minds what the clocks on the walls say");
        run.Stage.Require(run.Done > 100, "work goes on");
        run.Judge();
    }

    public static void ClocksAtAnotherSpeed(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode leader = run.Leader();
        double[] rates = [2, 0.5];
        foreach (double rate in rates)
        {
            leader.Clock.Rate = rate;
            run.MustProgress(10_000, atLeast: 50);
            leader.Clock.Rate = 1;
            SimulatedNode follower = run.Others(leader)[0];
            follower.Clock.Rate = rate;
            run.MustProgress(10_000, atLeast: 50);
            follower.Clock.Rate = 1;
        }

        run.Stage.Require(leader.Replica!.IsLeader, "the leader stays");

        // A leader whose time stands nearly still, cut off: it must not go on reading for longer than the others wait.
        run.PutDone(NamedRun.OwnKey, "before", leader);
        leader.Clock.Rate = 0.5;
        run.CutOff(leader);
        run.PutDone(NamedRun.OwnKey, "after", run.Others(leader));
        run.Stage.Require(run.Ask(leader, run.Get(NamedRun.OwnKey)) is not { Outcome: Outcome.Done }, "a slow clock makes no stale read");
        run.Judge();
    }

    public static void RestartEveryTwoSeconds(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode restless = run.Nodes[(int)(seed % 3)];
        for (int i = 0; i < 15; i++)
        {
            restless.Crash(power: i % 2 == 0);
            run.For(100);
            run.Restart(restless);
            run.MustProgress(1_900);
        }

        run.Judge();
    }

    public static void RollingRestart(ulong seed)
    {
        var run = new NamedRun(seed);
        for (int round = 0; round < 3; round++)
        {
            foreach (SimulatedNode node in run.Nodes)
            {
                run.PutDone(NamedRun.OwnKey, $"r{round}n{node.Index}");
                node.Stop();
                run.MustRead(NamedRun.OwnKey, $"r{round}n{node.Index}");
                run.Restart(node);
                run.For(1_000);
            }
        }

        run.Judge();
    }

    public static void MinorityFirst(ulong seed)
    {
        var run = new NamedRun(seed, nodes: 5);
        run.PutDone(NamedRun.OwnKey, "before");
        foreach (SimulatedNode node in run.Nodes)
        {
            node.Crash(power: true);
        }

        run.Nodes[0].Start();
        run.Nodes[1].Start();
        for (int i = 0; i < 20; i++)
        {
            Completion? answer = run.Ask(run.Nodes[i % 2], run.Get(NamedRun.OwnKey), 200);
            run.Stage.Require(answer is not { Outcome: Outcome.Done }, "a minority answers no read");
        }

        run.Nodes[2].Start();
        run.MustRead(NamedRun.OwnKey, "before");
        run.Restart(run.Nodes[3]);
        run.Restart(run.Nodes[4]);
        run.Judge();
    }

    public static void CrashAtEveryStep(ulong seed)
    {
        var points = new Dictionary<RareBranch, double>
        {
            [RareBranch.CrashAtSnapshotPage] = 0.05,
            [RareBranch.CrashAtInstalled] = 0.3,
            [RareBranch.CrashAtScan] = 0.02,
            [RareBranch.CrashAtDurable] = 0.001,
            [RareBranch.CrashAtStart] = 0.05,
            [RareBranch.ForcedFlush] = 0.05,
        };
        var run = new NamedRun(
            seed,
            settings: calm => calm with
            {
                TableBytes = 0,
                PreloadBytes = 0,
                Replica = calm.Replica with { KeepEntries = 2, CompactStep = 1, SnapshotPageBytes = 100, SealTicks = 1, SealBytes = 100, SnapshotPageTicks = 20 },
            },
            force: points);
        run.For(40_000);
        run.Stage.Require(run.Stage.Trace.Counts.ContainsKey("snapshot installed"), "snapshots were installed");
        run.Stage.Require(run.Stage.Faults.Crashed, "nodes crashed");
        run.Judge();
    }
}
