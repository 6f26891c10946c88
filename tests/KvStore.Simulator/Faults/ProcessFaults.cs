using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Faults;

/// <summary>Processes die, stop, stand still and crawl. Who goes down is started again after a while, and again if it does not come up.</summary>
internal sealed class ProcessFaults(SimulatedCluster cluster, Random random)
{
    private bool _ended;

    /// <summary>Whether a process died, with or without its power.</summary>
    public bool Crashed { get; private set; }

    /// <summary>Whether a process of a shard in memory was stopped in good order that held something which no other replica is known to have held: gone as much as with a crash.</summary>
    public bool LostMemory { get; private set; }

    public void End() => _ended = true;

    public void Strike(FaultKind kind, SimulatedNode victim, Random dice)
    {
        switch (kind)
        {
            case FaultKind.Kill:
                Kill(victim, power: false);
                break;
            case FaultKind.PowerLoss:
                Kill(victim, power: true);
                break;
            case FaultKind.PowerLossInSync:
                // The next batch is written and its sync does not return: what of it survives is up to the disk.
                cluster.Trace.Fault("PowerLossInSync", victim.Index);
                victim.Disk.FailSync();
                break;
            case FaultKind.BlackOut:
                BlackOut();
                break;
            case FaultKind.MinorityFirst:
                MinorityFirst(dice);
                break;
            case FaultKind.GentleRestart:
                StopGently(victim, 1_000 + dice.Next(2_500_000));
                break;
            case FaultKind.RollingRestart:
                RollOver(dice);
                break;
            case FaultKind.RestartLoop:
                RestartAgainAndAgain(victim, dice);
                break;
            case FaultKind.LongAbsence:
                cluster.Trace.Fault("LongAbsence", victim.Index);
                Kill(victim, power: dice.Next(2) == 0, dice.Next(4_000_000, 15_000_000));
                break;
            case FaultKind.Pause:
                cluster.Trace.Fault("Pause", victim.Index);
                victim.Pause(dice.Next(10_000, dice.Next(3) == 0 ? 20_000_000 : 2_000_000));
                break;
            default:
                cluster.Trace.Fault("SlowNode", victim.Index);
                victim.StepDelayUs = dice.Next(2_000, 80_000);
                Later(dice.Next(500_000, 6_000_000), () => victim.StepDelayUs = 0);
                break;
        }
    }

    /// <summary>The process dies, with or without its power, and comes up again a little later.</summary>
    public void Kill(SimulatedNode node, bool power) => Kill(node, power, random.Next(1_000, 2_500_000));

    public void Kill(SimulatedNode node, bool power, long downUs)
    {
        if (node.IsUp)
        {
            cluster.Trace.Fault(power ? "PowerLoss" : "Kill", node.Index);
            Crashed = true;
            node.Crash(power);
            StartLater(node, downUs);
        }
    }

    private void BlackOut()
    {
        cluster.Trace.Fault("BlackOut", 0);
        foreach (SimulatedNode node in cluster.Up.ToArray())
        {
            Kill(node, power: true);
        }
    }

    /// <summary>All lose their power, and a minority is up alone for a while.</summary>
    private void MinorityFirst(Random dice)
    {
        cluster.Trace.Fault("MinorityFirst", 0);
        int minority = (cluster.Nodes.Count - 1) / 2;
        int first = dice.Next(cluster.Nodes.Count);
        foreach (SimulatedNode node in cluster.Up.ToArray())
        {
            bool early = (node.Index - first + cluster.Nodes.Count) % cluster.Nodes.Count < minority;
            Kill(node, power: true, early ? dice.Next(1_000, 200_000) : dice.Next(1_500_000, 4_000_000));
        }
    }

    private void StopGently(SimulatedNode node, long downUs)
    {
        if (node.IsUp && !node.IsPaused)
        {
            cluster.Trace.Fault("GentleRestart", node.Index);
            LostMemory |= cluster.Settings.MemoryBytes > 0 && !IsHeldElsewhere(node);
            node.Stop();
            StartLater(node, downUs);
        }
    }

    /// <summary>Whether another process has all that this one has: it is whole, and its clock is equal.</summary>
    private bool IsHeldElsewhere(SimulatedNode node)
    {
        string clock = node.Replica!.Describe().Clock;
        return cluster.Up.Any(other => other != node && other.Replica!.Describe() is { Open.IsRecovering: false } status && status.Clock == clock);
    }

    private void RollOver(Random dice)
    {
        cluster.Trace.Fault("RollingRestart", 0);
        int gapUs = dice.Next(200_000, 2_000_000);
        int downUs = dice.Next(10_000, 1_000_000);
        foreach (SimulatedNode node in cluster.Nodes)
        {
            Later((long)node.Index * gapUs, () => StopGently(node, downUs));
        }
    }

    private void RestartAgainAndAgain(SimulatedNode node, Random dice)
    {
        const int EveryUs = 2_000_000;
        cluster.Trace.Fault("RestartLoop", node.Index);
        bool power = dice.Next(2) == 0;
        for (int round = dice.Next(2, 6); round >= 0; round--)
        {
            Later((long)round * EveryUs, () => Kill(node, power, 50_000));
        }
    }

    private void StartLater(SimulatedNode node, long us)
    {
        int incarnation = node.Incarnation;
        cluster.Timeline.After(us, () =>
        {
            // Without room on the disk it is tried again; on a damaged one that would be no use.
            if (!node.IsUp && node.Incarnation == incarnation && !node.Start() && node.RefusesToStart is null)
            {
                StartLater(node, us + 100_000);
            }
        });
    }

    private void Later(long us, Action then) => cluster.Timeline.After(us, () =>
    {
        if (!_ended)
        {
            then();
        }
    });
}
