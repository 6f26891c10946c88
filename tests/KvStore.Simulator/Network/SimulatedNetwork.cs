using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Network;

/// <summary>Directed links between nodes that lose, repeat, delay and reorder what is sent, as the faults of the moment say.</summary>
internal sealed class SimulatedNetwork(Timeline timeline, EventTrace trace, Random random, int nodes)
{
    private readonly bool[,] _cut = new bool[nodes, nodes];

    /// <summary>Share of messages that are lost.</summary>
    public double Loss { get; set; }

    /// <summary>Share of messages that arrive twice.</summary>
    public double Duplication { get; set; }

    /// <summary>Share of repeated messages that come seconds late.</summary>
    public double Lateness { get; set; } = 0.05;

    public int MaxDelayUs { get; set; } = 1_000;

    public long Sent { get; private set; }

    public long Lost { get; private set; }

    public bool IsCut(int from, int to) => _cut[from, to];

    public void Cut(int from, int to) => _cut[from, to] = true;

    public void CutBoth(int one, int other)
    {
        Cut(one, other);
        Cut(other, one);
    }

    public void Heal() => Array.Clear(_cut);

    public void Calm()
    {
        Heal();
        Loss = 0;
        Duplication = 0;
        MaxDelayUs = 1_000;
    }

    public void Send(int from, int to, Action deliver)
    {
        Sent++;
        if (_cut[from, to] || random.NextDouble() < Loss)
        {
            Lost++;
            return;
        }

        Plan(from, to, random.Next(50, MaxDelayUs), deliver);
        if (random.NextDouble() < Duplication)
        {
            trace.Count("duplicate");
            int delayUs = random.NextDouble() < Lateness ? random.Next(500_000, 8_000_000) : random.Next(50, 4 * MaxDelayUs);
            Plan(from, to, delayUs, deliver);
        }
    }

    private void Plan(int from, int to, int delayUs, Action deliver) => timeline.After(delayUs, () =>
    {
        // A cut hits what is under way, too.
        if (_cut[from, to])
        {
            Lost++;
        }
        else
        {
            deliver();
        }
    });
}
