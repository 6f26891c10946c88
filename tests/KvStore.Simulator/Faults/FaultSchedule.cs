using KvStore.Simulator.Engine;
using KvStore.Simulator.Network;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Faults;

/// <summary>Strikes at random moments with random faults, and lets most of them pass again. Ends with <see cref="HealAll"/>.</summary>
internal sealed class FaultSchedule
{
    private readonly SimulatedCluster _cluster;
    private readonly Random _random;
    private bool _ended;
    private bool _wiped;

    public FaultSchedule(SimulatedCluster cluster, Random random)
    {
        _cluster = cluster;
        _random = random;
        cluster.StorageFailed = OnStorageFailed;
    }

    /// <summary>Whether some replica has lost its disk.</summary>
    public bool Wiped => _wiped;

    /// <summary>Whether a process died, with or without its power.</summary>
    public bool Crashed { get; private set; }

    private Timeline Timeline => _cluster.Timeline;

    private EventTrace Trace => _cluster.Trace;

    private SimulatedNetwork Network => _cluster.Network;

    public void Begin()
    {
        if (_cluster.Settings.FaultEveryMs > 0)
        {
            Plan();
        }
    }

    public void HealAll()
    {
        _ended = true;
        Trace.Add("HEAL", 0);
        Network.Calm();
        foreach (SimulatedNode node in _cluster.Nodes)
        {
            node.Recover();
            if (!node.IsUp)
            {
                node.Start();
            }
        }
    }

    private void Plan() => Timeline.After(_random.Next(1, 2 * _cluster.Settings.FaultEveryMs * 1_000), () =>
    {
        if (!_ended)
        {
            Strike();
            Plan();
        }
    });

    private void Strike()
    {
        SimulatedNode node = _cluster.Nodes[_random.Next(_cluster.Nodes.Count)];
        SimulatedNode leader = _cluster.Nodes.FirstOrDefault(each => each.Replica?.IsLeader == true) ?? node;
        SimulatedNode victim = _random.Next(3) == 0 ? leader : node;
        int dice = _random.Next(100);
        switch (dice)
        {
            case < 12:
                Split();
                break;
            case < 18:
                Isolate(victim);
                break;
            case < 26:
                CutOneWay();
                break;
            case < 36:
                Degrade();
                break;
            case < 42:
                Trace.Fault("heal network", 0);
                Network.Heal();
                break;
            case < 58:
                Kill(victim, power: dice % 2 == 0);
                break;
            case < 63:
                BlackOut();
                break;
            case < 68:
                StopGently(victim);
                break;
            case < 80:
                Trace.Fault("pause", victim.Index);
                victim.Pause(_random.Next(10_000, 3_000_000));
                break;
            case < 88:
                Trace.Fault("slow disk", victim.Index);
                victim.StallDisk(_random.Next(10_000, 2_000_000));
                break;
            case < 91:
                Trace.Fault("broken disk", victim.Index);
                victim.BreakDisk();
                break;
            case < 95:
                Trace.Fault("wall clock", victim.Index);
                victim.WallSkewMs = _random.Next(-3_600_000, 3_600_000);
                break;
            case < 97:
                Trace.Fault("timer", victim.Index);
                victim.TickFactor = 0.5 + _random.NextDouble();
                break;
            default:
                Wipe(victim);
                break;
        }
    }

    private void Split()
    {
        Trace.Fault("partition", 0);
        int sides = _random.Next(1, 1 << _cluster.Nodes.Count);
        for (int one = 0; one < _cluster.Nodes.Count; one++)
        {
            for (int other = 0; other < _cluster.Nodes.Count; other++)
            {
                if (((sides >> one) & 1) != ((sides >> other) & 1))
                {
                    Network.Cut(one, other);
                }
            }
        }

        HealLater();
    }

    private void Isolate(SimulatedNode node)
    {
        Trace.Fault("isolation", node.Index);
        foreach (SimulatedNode other in _cluster.Nodes.Where(other => other != node))
        {
            Network.CutBoth(node.Index, other.Index);
        }

        HealLater();
    }

    private void CutOneWay()
    {
        int from = _random.Next(_cluster.Nodes.Count);
        int to = (from + _random.Next(1, _cluster.Nodes.Count)) % _cluster.Nodes.Count;
        Trace.Fault("one-way cut", from, (ulong)to);
        Network.Cut(from, to);
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
            Network.Loss = 0.01;
            Network.Duplication = 0.02;
            Network.MaxDelayUs = 2_000;
        });
    }

    private void HealLater() => Timeline.After(_random.Next(50_000, 5_000_000), Network.Heal);

    private void Kill(SimulatedNode node, bool power)
    {
        if (node.IsUp)
        {
            Trace.Fault(power ? "power loss" : "kill", node.Index);
            Crashed = true;
            node.Crash(power);
            StartLater(node);
        }
    }

    private void BlackOut()
    {
        Trace.Fault("power loss everywhere", 0);
        foreach (SimulatedNode node in _cluster.Up.ToArray())
        {
            Crashed = true;
            node.Crash(power: true);
            StartLater(node);
        }
    }

    private void StopGently(SimulatedNode node)
    {
        if (node.IsUp)
        {
            Trace.Fault("restart", node.Index);
            node.Stop();
            StartLater(node);
        }
    }

    private void Wipe(SimulatedNode node)
    {
        if (_cluster.Settings.MayWipe && node.IsUp && !_wiped)
        {
            Trace.Fault("lost disk", node.Index);
            _wiped = true;
            node.Crash(power: true);
            node.LoseDisk();
            StartLater(node);
        }
    }

    private void OnStorageFailed(SimulatedNode node) => Timeline.After(1_000, () => Kill(node, power: true));

    private void StartLater(SimulatedNode node)
    {
        int incarnation = node.Incarnation;
        Timeline.After(_random.Next(1_000, 2_500_000), () =>
        {
            if (!node.IsUp && node.Incarnation == incarnation)
            {
                node.Start();
            }
        });
    }
}
