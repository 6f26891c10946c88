using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Faults;

/// <summary>
/// What strikes when, drawn from the seed before the run begins. Each kind of fault is on or off for a seed, and more or less frequent ("swarm testing", Groce et al., ISSTA 2012): a run with few
/// kinds goes deeper than one with all of them.
/// </summary>
internal static class FaultPlan
{
    private const int MaxWeight = 8;
    private const int AbsenceWeight = 3;

    public static IReadOnlyList<Strike> Draw(ScenarioSettings settings, long lengthUs, Random random)
    {
        List<(FaultKind Kind, int Weight)> kinds = [];
        int all = 0;
        for (FaultKind kind = default; kind <= FaultKind.OldBackup; kind++)
        {
            // Drawn for each kind, allowed or not, so that a seed means the same in all scenarios.
            int weight = random.Next(2) * random.Next(1, MaxWeight + 1);
            if (weight > 0 && IsPossible(kind, settings))
            {
                kinds.Add((kind, weight));
                all += weight;
            }
        }

        if (settings.MayStayAway)
        {
            kinds.Add((FaultKind.LongAbsence, AbsenceWeight));
            all += AbsenceWeight;
        }

        List<Strike> strikes = [];
        if (settings.FaultEveryMs == 0 || all == 0)
        {
            return strikes;
        }

        for (long atUs = random.Next(1, 2 * settings.FaultEveryMs * 1_000); atUs < lengthUs; atUs += random.Next(1, 2 * settings.FaultEveryMs * 1_000))
        {
            strikes.Add(new Strike(strikes.Count, atUs, Pick(kinds, random.Next(all)), random.Next()));
        }

        return strikes;
    }

    private static FaultKind Pick(List<(FaultKind Kind, int Weight)> kinds, int dice)
    {
        int at = 0;
        while (dice >= kinds[at].Weight)
        {
            dice -= kinds[at++].Weight;
        }

        return kinds[at].Kind;
    }

    private static bool IsPossible(FaultKind kind, ScenarioSettings settings) => kind switch
    {
        FaultKind.LostDisk => settings.MayWipe,
        FaultKind.OldBackup => settings.MayRestoreBackup,
        FaultKind.LogBitFlip or FaultKind.ViewDamage or FaultKind.LogFileMissing => !settings.IsAdaptive && !settings.Switches && (!settings.IsOpen || settings.MayDamage) && settings.Nodes > 2 && settings.Spares == 0,
        FaultKind.Partition or FaultKind.Isolation or FaultKind.OneWayCut or FaultKind.LinkCut or FaultKind.Flapping => settings.Nodes > 1,
        FaultKind.Ring or FaultKind.Bridge => settings.Nodes > 3,
        _ => true,
    };
}
