using KvStore.Core.Eventual;
using KvStore.Simulator.Scenarios;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Planted;

/// <summary>A bug of dotted replication: played in open shards, at the same seams as all others.</summary>
internal abstract class OpenBug : PlantedBug
{
    public override ScenarioKind Kind => ScenarioKind.Open;

    /// <summary>Where messages get lost or nodes are away all the time, most is healed by pulling.</summary>
    protected static ScenarioSettings MuchHealing(ScenarioSettings drawn) => drawn with { FaultEveryMs = 400, MaxThinkUs = 20_000, OperationsPerClient = 120 };

    /// <summary>Whoever is away for a little needs a full copy, in several pages.</summary>
    protected static ScenarioSettings ManyCopies(ScenarioSettings drawn)
    {
        ScenarioSettings healing = MuchHealing(drawn);
        return healing with
        {
            MayStayAway = true,
            Keys = 6,
            WorkUs = 60_000_000,
            Replica = healing.Replica with { ScanPageBytes = 300, Dotted = new DottedOptions { MaxIndexedDots = 6, MaxPageDots = 2 } },
        };
    }

    /// <summary>Nothing but sync promises what quorum reads are held to.</summary>
    protected static ScenarioSettings Quorums(ScenarioSettings drawn) =>
        MuchHealing(drawn) with { MayWipe = false, MayRestoreBackup = false, Mode = drawn.Mode with { Replication = Replication.Sync } };
}
