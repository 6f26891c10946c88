using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Faults;

/// <summary>Lets the strikes of a plan happen, brings processes up again that went down, and in the end heals everything.</summary>
internal sealed class FaultDriver
{
    /// <summary>How long it takes until somebody restarts a node that has fenced its replica.</summary>
    private const long FencedUs = 1_000_000;

    private readonly SimulatedCluster _cluster;
    private readonly NetworkFaults _network;
    private readonly ProcessFaults _processes;
    private readonly ClockFaults _clocks;
    private readonly DiskFaults _disks;
    private bool _ended;

    /// <param name="random">For what is no part of a strike: how long a process takes to come up again.</param>
    public FaultDriver(SimulatedCluster cluster, Random random)
    {
        _cluster = cluster;
        _network = new NetworkFaults(cluster);
        _processes = new ProcessFaults(cluster, random);
        _clocks = new ClockFaults(cluster);
        _disks = new DiskFaults(cluster, _processes);
        cluster.StorageFailed = node => cluster.Timeline.After(1_000, () => _processes.Kill(node, power: true));
        cluster.FencedByTwoLeaders = node => _processes.Kill(node, power: false, FencedUs);
        cluster.CrashSoon = node => cluster.Timeline.After(0, () => CrashUnlessEnded(node));
    }

    /// <summary>Whether some replica has lost its disk or gone back to an old one.</summary>
    public bool Wiped => _disks.Wiped;

    /// <summary>Whether a process died, with or without its power.</summary>
    public bool Crashed => _processes.Crashed;

    /// <summary>Data in memory only: whether a process that ended in good order took something with it that no other replica is known to have held.</summary>
    public bool LostMemory => _processes.LostMemory;

    /// <summary>The strikes that have happened.</summary>
    public List<Strike> Struck { get; } = [];

    public void Begin(IEnumerable<Strike> plan)
    {
        foreach (Strike strike in plan)
        {
            _cluster.Timeline.After(strike.AtUs, () =>
            {
                if (!_ended)
                {
                    Struck.Add(strike);
                    Apply(strike);
                }
            });
        }
    }

    /// <summary>Faults end. Damaged disks are put right for some nodes; others stay down, never more than the cluster can do without.</summary>
    public void HealAll()
    {
        _ended = true;
        _cluster.Trace.Add("HEAL", 0);
        _processes.End();
        _network.End();
        _clocks.End();
        foreach (SimulatedNode node in _cluster.Nodes)
        {
            node.Calm();
            // A replica of an open shard that never comes back keeps the others from forgetting what it lacks: it is repaired, or would have to be removed.
            if (node.RefusesToStart is not null && (_cluster.Settings.IsOpen || !_disks.StaysDown(node)))
            {
                node.Disk.Repair();
                _cluster.Rare.Meet(RareBranch.SeenRepairedStart);
            }

            if (_cluster.Settings.IsOpen && !node.IsUp)
            {
                // It was killed a moment ago and has not come across its damage yet.
                node.Disk.Repair();
            }

            if (node.IsUp || node.Start())
            {
                // Damage that the node has not come across yet.
                node.Disk.Repair();
            }
        }

        _cluster.Rare.End();
    }

    private void Apply(in Strike strike)
    {
        _cluster.Trace.Add("STRIKE", strike.Number, (ulong)strike.Kind);
        if (_cluster.Trace.IsRead)
        {
            string text = strike.ToString();
            _cluster.Trace.Say(() => $"strike {text}");
        }

        var random = new Random(strike.Seed);
        if (strike.Kind < FaultKind.Kill)
        {
            _network.Strike(strike.Kind, random);
        }
        else if (strike.Kind is < FaultKind.WallStep or FaultKind.LongAbsence)
        {
            _processes.Strike(strike.Kind, Victim(random), random);
        }
        else if (strike.Kind < FaultKind.DiskStall)
        {
            _clocks.Strike(strike.Kind, Victim(random), random);
        }
        else
        {
            _disks.Strike(strike.Kind, Victim(random), random);
        }
    }

    /// <summary>The leader more often than others: that is where it hurts.</summary>
    private SimulatedNode Victim(Random random)
    {
        SimulatedNode any = _cluster.Nodes[random.Next(_cluster.Nodes.Count)];
        return random.Next(3) == 0 ? _cluster.Leader ?? any : any;
    }

    private void CrashUnlessEnded(SimulatedNode node)
    {
        if (!_ended)
        {
            _processes.Kill(node, power: true);
        }
    }
}
