using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Network;

/// <summary>Directed links between nodes that lose, repeat, delay and reorder what is sent, as the faults of the moment say.</summary>
internal sealed class SimulatedNetwork(Timeline timeline, EventTrace trace, Random random, int nodes)
{
    private const int CalmDelayUs = 1_000;

    // Several faults may cut the same link: it works again when the last of them has passed.
    private readonly int[,] _cuts = new int[nodes, nodes];
    private readonly int[,] _queuesUs = new int[nodes, nodes];
    private int _cutLinks;
    private bool _hasQueues;

    /// <summary>Share of messages that are lost.</summary>
    public double Loss { get; set; }

    /// <summary>Share of messages that arrive twice.</summary>
    public double Duplication { get; set; }

    /// <summary>Share of repeated messages that come late.</summary>
    public double Lateness { get; set; } = 0.05;

    /// <summary>How late those are, at most.</summary>
    public int MaxLatenessUs { get; set; } = 8_000_000;

    public int MaxDelayUs { get; set; } = CalmDelayUs;

    /// <summary>What every message to or from this node takes in addition; -1: no node.</summary>
    public int SlowNode { get; set; } = -1;

    public int SlowNodeDelayUs { get; set; }

    /// <summary>From now on what goes over this link waits so long in a queue of its own: paths differ, and answers of yesterday overtake the news of today.</summary>
    public void Queue(int from, int to, int delayUs)
    {
        _queuesUs[from, to] = delayUs;
        _hasQueues = true;
    }

    public void EndQueues()
    {
        Array.Clear(_queuesUs);
        _hasQueues = false;
    }

    public long Sent { get; private set; }

    public long Lost { get; private set; }

    public bool IsCut(int from, int to) => _cuts[from, to] > 0;

    public void Cut(int from, int to)
    {
        _cuts[from, to]++;
        _cutLinks++;
    }

    public void CutBoth(int one, int other)
    {
        Cut(one, other);
        Cut(other, one);
    }

    /// <summary>Undoes one <see cref="Cut"/>, unless everything was healed since.</summary>
    public void Mend(int from, int to)
    {
        if (_cuts[from, to] > 0)
        {
            _cuts[from, to]--;
            _cutLinks--;
        }
    }

    public void MendBoth(int one, int other)
    {
        Mend(one, other);
        Mend(other, one);
    }

    /// <summary>All links work again.</summary>
    public void Heal()
    {
        Array.Clear(_cuts);
        _cutLinks = 0;
    }

    /// <summary>All links work again, and work well.</summary>
    public void Calm()
    {
        Heal();
        Loss = 0;
        Duplication = 0;
        MaxDelayUs = CalmDelayUs;
        SlowNode = -1;
        EndQueues();
    }

    public void Send(int from, int to, Action deliver)
    {
        Sent++;
        if ((_cutLinks > 0 && _cuts[from, to] > 0) || (Loss > 0 && random.NextDouble() < Loss))
        {
            Lost++;
            return;
        }

        int slowness = (from == SlowNode || to == SlowNode ? SlowNodeDelayUs : 0) + (_hasQueues ? _queuesUs[from, to] : 0);
        Plan(from, to, slowness + random.Next(50, MaxDelayUs), deliver);
        if (Duplication > 0 && random.NextDouble() < Duplication)
        {
            trace.Count("duplicate");
            bool late = random.NextDouble() < Lateness;
            if (late)
            {
                trace.Count("late replay");
            }

            Plan(from, to, late ? random.Next(500_000, MaxLatenessUs) : random.Next(50, 4 * MaxDelayUs), deliver);
        }
    }

    private void Plan(int from, int to, int delayUs, Action deliver) => timeline.After(delayUs, () =>
    {
        // A cut hits what is under way, too.
        if (_cutLinks > 0 && _cuts[from, to] > 0)
        {
            Lost++;
        }
        else
        {
            deliver();
        }
    });
}
