using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Faults;

/// <summary>Clocks that are wrong, jump and run at another speed.</summary>
internal sealed class ClockFaults(SimulatedCluster cluster)
{
    private const int HourMs = 3_600_000;

    private bool _ended;

    public void End() => _ended = true;

    public void Strike(FaultKind kind, SimulatedNode victim, Random dice)
    {
        cluster.Trace.Fault(kind.ToString(), victim.Index);
        switch (kind)
        {
            case FaultKind.WallStep:
                victim.Clock.WallSkewMs = dice.Next(-HourMs, HourMs);
                break;
            case FaultKind.WallStrobe:
                Strobe(victim, dice, dice.Next(5, 40));
                break;
            default:
                double[] rates = [0.5, 0.8, 1.25, 2.0];
                victim.Clock.Rate = rates[dice.Next(rates.Length)];
                Later(dice.Next(500_000, 10_000_000), () => victim.Clock.Rate = 1);
                break;
        }
    }

    private void Strobe(SimulatedNode victim, Random dice, int left)
    {
        victim.Clock.WallSkewMs = left == 0 ? 0 : dice.Next(-HourMs, HourMs);
        if (left > 0)
        {
            Later(dice.Next(5_000, 200_000), () => Strobe(victim, dice, left - 1));
        }
    }

    private void Later(long us, Action then) => cluster.Timeline.After(us, () =>
    {
        if (!_ended)
        {
            then();
        }
    });
}
