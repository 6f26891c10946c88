using KvStore.Simulator.Engine;
using KvStore.Simulator.Network;

namespace KvStore.Simulator.Clusters;

/// <summary>Strikes a cluster at random moments with random faults, and lets most of them pass again. Ends with <see cref="HealAll"/>.</summary>
internal sealed class ClusterFaults
{
    private readonly World _world;
    private readonly Random _random;
    private bool _ended;

    public ClusterFaults(World world, Random random)
    {
        _world = world;
        _random = random;
        world.StorageFailed = node => world.Timeline.After(1_000, () => Kill(node, power: true));
    }

    /// <summary>Whether a process died, with or without its power.</summary>
    public bool Crashed { get; private set; }

    private Timeline Timeline => _world.Timeline;

    private EventTrace Trace => _world.Trace;

    private SimulatedNetwork Network => _world.Network;

    public void Begin()
    {
        if (_world.Settings.FaultEveryMs > 0)
        {
            Plan();
        }
    }

    public void HealAll()
    {
        _ended = true;
        Trace.Add("HEAL", 0);
        Network.Calm();
        foreach (ClusterNode node in _world.Nodes)
        {
            node.Recover();
            if (!node.IsUp)
            {
                node.Start();
            }
        }
    }

    private void Plan() => Timeline.After(_random.Next(1, 2 * _world.Settings.FaultEveryMs * 1_000), () =>
    {
        if (!_ended)
        {
            Strike();
            Plan();
        }
    });

    private void Strike()
    {
        ClusterNode victim = _world.Nodes[_random.Next(_world.Nodes.Count)];
        int dice = _random.Next(100);
        switch (dice)
        {
            case < 14:
                Split();
                break;
            case < 20:
                Isolate(victim);
                break;
            case < 28:
                CutOneWay(victim);
                break;
            case < 38:
                Degrade();
                break;
            case < 42:
                Trace.Fault("heal network", 0);
                Network.Heal();
                break;
            case < 58:
                Strike(victim, dice % 2 == 0 ? "power loss" : "kill", () => Kill(victim, power: dice % 2 == 0));
                break;
            case < 61:
                BlackOut();
                break;
            case < 68:
                Strike(victim, "restart", () => StopGently(victim));
                break;
            case < 80:
                Strike(victim, "pause", () => victim.Pause(_random.Next(10_000, 3_000_000)));
                break;
            case < 89:
                Strike(victim, "slow disk", () => victim.StallDisk(_random.Next(10_000, 2_000_000)));
                break;
            case < 92:
                Strike(victim, "broken disk", victim.BreakDisk);
                break;
            case < 96:
                Strike(victim, "wall clock", () => victim.WallSkewMs = _random.Next(-3_600_000, 3_600_000));
                break;
            default:
                Strike(victim, "timer", () => victim.TickFactor = 0.5 + _random.NextDouble());
                break;
        }
    }

    private void Strike(ClusterNode victim, string kind, Action strike)
    {
        if (victim.IsUp)
        {
            Trace.Fault(kind, victim.Index);
            strike();
        }
    }

    private void Split()
    {
        Trace.Fault("partition", 0);
        int sides = _random.Next(1, 1 << _world.Nodes.Count);
        foreach (ClusterNode one in _world.Nodes)
        {
            foreach (ClusterNode other in _world.Nodes.Where(other => ((sides >> one.Index) & 1) != ((sides >> other.Index) & 1)))
            {
                Network.Cut(one.Index, other.Index);
            }
        }

        HealLater();
    }

    private void Isolate(ClusterNode node)
    {
        Trace.Fault("isolation", node.Index);
        foreach (ClusterNode other in _world.Nodes.Where(other => other != node))
        {
            Network.CutBoth(node.Index, other.Index);
        }

        HealLater();
    }

    private void CutOneWay(ClusterNode from)
    {
        int to = (from.Index + _random.Next(1, _world.Nodes.Count)) % _world.Nodes.Count;
        Trace.Fault("one-way cut", from.Index, (ulong)to);
        Network.Cut(from.Index, to);
        HealLater();
    }

    private void Degrade()
    {
        Trace.Fault("bad network", 0);
        Network.Loss = _random.NextDouble() * 0.3;
        Network.Duplication = _random.NextDouble() * 0.3;
        Network.MaxDelayUs = _random.Next(1_000, 100_000);
        Timeline.After(_random.Next(100_000, 4_000_000), () =>
        {
            if (!_ended)
            {
                Network.Loss = 0.01;
                Network.Duplication = 0.02;
                Network.MaxDelayUs = 2_000;
            }
        });
    }

    private void HealLater() => Timeline.After(_random.Next(50_000, 6_000_000), Network.Heal);

    private void Kill(ClusterNode node, bool power)
    {
        if (node.IsUp)
        {
            Crashed = true;
            node.Crash(power);
            StartLater(node);
        }
    }

    private void BlackOut()
    {
        Trace.Fault("power loss everywhere", 0);
        foreach (ClusterNode node in _world.Nodes)
        {
            Kill(node, power: true);
        }
    }

    private void StopGently(ClusterNode node)
    {
        node.Stop();
        int incarnation = node.Incarnation;
        Timeline.After(10_000, () =>
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
        Timeline.After(_ended ? 1_000 : _random.Next(1_000, 2_500_000), () =>
        {
            if (!node.IsUp && node.Incarnation == incarnation)
            {
                node.Start();
            }
        });
    }
}
