using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Scenarios;

/// <summary>Disks that lose, change, refuse and delay.</summary>
public static class NamedDisks
{
    public static void PowerLossOnOne(ulong seed)
    {
        var run = new NamedRun(seed);
        for (int i = 0; i < 15; i++)
        {
            SimulatedNode node = run.Nodes[(int)((seed + (ulong)i) % 3)];
            node.Crash(power: true);
            run.MustProgress(2_000);
            run.Restart(node);
            run.For(500);
        }

        run.Judge();
    }

    public static void PowerLossOnAll(ulong seed)
    {
        var run = new NamedRun(seed);
        for (int i = 0; i < 6; i++)
        {
            run.PutDone(NamedRun.OwnKey, $"v{i}");
            foreach (SimulatedNode node in run.Nodes)
            {
                node.Crash(power: true);
            }

            run.Nodes.ForEach(run.Restart);
            run.MustRead(NamedRun.OwnKey, $"v{i}");
            run.For(700);
        }

        run.Judge();
    }

    public static void PowerLossThenNeededForTheQuorum(ulong seed)
    {
        var run = new NamedRun(seed);
        for (int i = 0; i < 6; i++)
        {
            SimulatedNode leader = run.PutDone(NamedRun.OwnKey, $"v{i}");
            SimulatedNode lost = run.Others(leader)[i % 2];
            SimulatedNode behind = run.Others(leader, lost)[0];

            // One node misses the write; the other has it, and loses its power right after it has said so. Then only these two are left.
            behind.Pause(3_000_000);
            run.For(500);
            run.PutDone(NamedRun.OwnKey, $"w{i}", leader);
            lost.Crash(power: true);
            leader.Crash(power: true);
            run.Restart(lost);
            run.For(3_000);
            run.MustRead(NamedRun.OwnKey, $"w{i}", lost, behind);
            run.Restart(leader);
            run.For(1_000);
        }

        run.Judge();
    }

    public static void TornTail(ulong seed)
    {
        var run = new NamedRun(seed);
        for (int i = 0; i < 10; i++)
        {
            SimulatedNode node = run.Nodes[(int)((seed + (ulong)i) % 3)];
            int incarnation = node.Incarnation;
            node.Disk.FailSync();
            run.Stage.Demand("the node stops and comes back", () => node.Incarnation > incarnation && node.IsUp, 10_000_000);
        }

        run.Judge();
    }

    public static void BitFlipInTheLog(ulong seed) => Damaged(seed, node => node.Disk.FlipLogBit(new Random((int)seed * 31 + node.Incarnation)));

    public static void BitFlipInTheData(ulong seed) => Damaged(seed, node => node.Disk.DamageView(new Random((int)seed * 31 + node.Incarnation)));

    public static void LogFileMissing(ulong seed) => Damaged(seed, node => node.Disk.LoseSegment(new Random((int)seed * 31 + node.Incarnation)));

    public static void DiskFull(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode leader = run.PutDone(NamedRun.OwnKey, "before");
        leader.Disk.FillNearly();
        run.For(1_500);
        Completion? refused = run.Ask(leader, run.Put(NamedRun.OwnKey, "refused"));
        run.Stage.Require(refused is { Outcome: Outcome.NotDone, Code: RefusalCode.DiskLow }, $"a put is refused for want of room, and not {refused?.Outcome} {refused?.Code}");
        run.Stage.Require(run.Ask(leader, run.Get(NamedRun.OwnKey)) is { Outcome: Outcome.Done } read && ClientKeys.TextOf(read.Value) == "before", "reads go on");
        ClientOperation delete = run.Put(NamedRun.OwnKey, "");
        delete.Kind = OperationKind.Delete;
        delete.Value = default;
        run.Stage.Require(run.Ask(leader, delete) is { Outcome: Outcome.Done }, "deletes go on");
        leader.Disk.MakeRoom();
        run.For(1_500);
        run.PutDone(NamedRun.OwnKey, "after", leader);
        run.Judge();
    }

    public static void SyncFailsOnce(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode leader = run.Leader();
        int incarnation = leader.Incarnation;
        leader.Disk.FailSync();
        ClientOperation put = run.Put(NamedRun.OwnKey, "v");
        Completion? answer = run.Ask(leader, put);
        run.Stage.Require(answer is not { Outcome: Outcome.NotDone, Code: not RefusalCode.StorageFailed }, "the write is done, unknown or refused for its storage");
        run.Stage.Demand("the node stops rather than sync again", () => leader.Incarnation > incarnation, 5_000_000);
        run.PutDone(NamedRun.OwnKey, "after");
        run.Judge();
    }

    public static void SyncsOfTwoSeconds(ulong seed)
    {
        var run = new NamedRun(seed);
        SimulatedNode stuck = run.Leader();
        ulong term = run.MaxTerm;
        stuck.Disk.Slow(2_000_000);
        for (int i = 0; i < 30; i++)
        {
            run.PutDone(NamedRun.OwnKey, $"v{i}");
            run.For(200);
        }

        run.Stage.Require(run.MaxTerm <= term + 3, "terms don't grow");
        run.Stage.Require(run.Done > 50, "work goes on");
        run.MustRead(NamedRun.OwnKey, "v29");
        run.Judge();
    }

    /// <summary>A follower's disk is damaged while it is down. It must not come up until that is put right, and nobody may notice but for one voter less.</summary>
    private static void Damaged(ulong seed, Func<SimulatedNode, bool> damage)
    {
        var run = new NamedRun(seed, settings: calm => calm with { MaxThinkUs = 10_000, MaxValueBytes = 4_000, RetainedLogBytes = 64 * 1024, PreloadBytes = 1 << 20 });
        run.For(6_000);
        SimulatedNode victim = run.Others(run.Leader())[0];
        for (int attempt = 0; victim.RefusesToStart is null; attempt++)
        {
            // A bit may also be one that nobody needs: then it is harmless.
            run.Stage.Require(attempt < 40, "damage is found");
            victim.Crash(power: false);
            run.Stage.Require(damage(victim), "there is something to damage");
            victim.Start();
            run.For(200);
        }

        run.MustProgress(3_000, atLeast: 20);
        run.PutDone(NamedRun.OwnKey, "meanwhile");
        victim.Disk.Repair();
        run.Stage.Require(victim.Start(), "the repaired node comes up");
        run.For(3_000);

        // It votes and acknowledges again.
        SimulatedNode other = run.Others(run.Leader(), victim)[0];
        other.Crash(power: true);
        run.MustRead(NamedRun.OwnKey, "meanwhile");
        run.PutDone(NamedRun.OwnKey, "after");
        run.Restart(other);
        run.Judge();
    }
}
