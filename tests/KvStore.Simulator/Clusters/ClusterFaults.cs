using KvStore.Simulator.Faults;

namespace KvStore.Simulator.Clusters;

/// <summary>Lets the strikes of a plan happen to a whole cluster, brings processes up again that went down, and in the end heals everything. Full disks, and damage of what was durable, are left to the scenarios of one shard.</summary>
internal sealed class ClusterFaults
{
    private const int HourMs = 3_600_000;

    private readonly World _world;
    private readonly Random _random;
    private readonly NetworkFaults _network;
    private bool _ended;

    /// <param name="random">For what is no part of a strike: how long a process takes to come up again.</param>
    public ClusterFaults(World world, Random random)
    {
        _world = world;
        _random = random;
        _network = new NetworkFaults(world);
        world.StorageFailed = node => world.Timeline.After(1_000, () => Kill(node, power: true));
    }

    /// <summary>Whether a process died, with or without its power.</summary>
    public bool Crashed { get; private set; }

    /// <summary>The strikes that have happened.</summary>
    public List<Strike> Struck { get; } = [];

    public void Begin(IEnumerable<Strike> plan)
    {
        foreach (Strike strike in plan.Where(strike => IsKnown(strike.Kind)))
        {
            Later(strike.AtUs, () =>
            {
                Struck.Add(strike);
                Apply(strike);
            });
        }
    }

    public void HealAll()
    {
        _ended = true;
        _world.Trace.Add("HEAL", 0);
        _network.End();
        foreach (ClusterNode node in _world.Nodes)
        {
            node.Recover();
            if (!node.IsUp && !node.Start())
            {
                StartLater(node);
            }
        }
    }

    private static bool IsKnown(FaultKind kind) => kind < FaultKind.DiskNearlyFull;

    private void Apply(in Strike strike)
    {
        var dice = new Random(strike.Seed);
        if (strike.Kind < FaultKind.Kill)
        {
            _network.Strike(strike.Kind, dice);
            return;
        }

        ClusterNode victim = _world.Nodes[dice.Next(_world.Nodes.Count)];
        if (victim.IsUp)
        {
            _world.Trace.Fault(strike.Kind.ToString(), victim.Index);
            StrikeNode(strike.Kind, victim, dice);
        }
    }

    private void StrikeNode(FaultKind kind, ClusterNode victim, Random dice)
    {
        switch (kind)
        {
            case FaultKind.Kill or FaultKind.PowerLoss:
                Kill(victim, power: kind == FaultKind.PowerLoss);
                break;
            case FaultKind.PowerLossInSync or FaultKind.SyncError:
                victim.FailSync();
                break;
            case FaultKind.WriteError:
                victim.FailWrite();
                break;
            case FaultKind.BlackOut or FaultKind.MinorityFirst:
                _world.Nodes.ForEach(node => Kill(node, power: true));
                break;
            case FaultKind.GentleRestart:
                StopGently(victim);
                break;
            case FaultKind.RollingRestart:
                int gapUs = dice.Next(200_000, 2_000_000);
                _world.Nodes.ForEach(node => Later((long)node.Index * gapUs, () => StopGently(node)));
                break;
            case FaultKind.RestartLoop:
                for (int round = dice.Next(2, 5); round >= 0; round--)
                {
                    Later(round * 2_000_000L, () => Kill(victim, power: false));
                }

                break;
            case FaultKind.Pause:
                victim.Pause(dice.Next(10_000, dice.Next(3) == 0 ? 10_000_000 : 2_000_000));
                break;
            case FaultKind.SlowNode:
                victim.StepDelayUs = dice.Next(2_000, 80_000);
                Later(dice.Next(500_000, 6_000_000), () => victim.StepDelayUs = 0);
                break;
            case FaultKind.WallStep or FaultKind.WallStrobe:
                victim.WallSkewMs = dice.Next(-HourMs, HourMs);
                break;
            case FaultKind.TimerDrift:
                victim.TickFactor = 0.5 + (1.5 * dice.NextDouble());
                Later(dice.Next(500_000, 10_000_000), () => victim.TickFactor = 1);
                break;
            case FaultKind.SlowSyncs:
                victim.SlowDisk(dice.Next(5_000, 200_000));
                Later(dice.Next(500_000, 8_000_000), () => victim.SlowDisk(0));
                break;
            default:
                victim.StallDisk(dice.Next(10_000, 4_000_000));
                break;
        }
    }

    private void Kill(ClusterNode node, bool power)
    {
        if (node.IsUp)
        {
            Crashed = true;
            node.Crash(power);
            StartLater(node);
        }
    }

    private void StopGently(ClusterNode node)
    {
        if (!node.IsUp)
        {
            return;
        }

        const int WellStoppedUs = 10_000;
        node.Stop();
        int incarnation = node.Incarnation;
        _world.Timeline.After(WellStoppedUs, () =>
        {
            if (!node.IsUp && node.Incarnation == incarnation)
            {
                StartLater(node);
            }
        });
    }

    private void StartLater(ClusterNode node)
    {
        int incarnation = node.Incarnation;
        _world.Timeline.After(_ended ? 1_000 : _random.Next(1_000, 2_500_000), () =>
        {
            if (!node.IsUp && node.Incarnation == incarnation && !node.Start())
            {
                StartLater(node);
            }
        });
    }

    private void Later(long us, Action then) => _world.Timeline.After(us, () =>
    {
        if (!_ended)
        {
            then();
        }
    });
}
