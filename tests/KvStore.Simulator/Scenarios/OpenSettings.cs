using KvStore.Core.Eventual;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;

namespace KvStore.Simulator.Scenarios;

/// <summary>Makes of a small open shard one of any size, with bounds that are met, and draws what may happen to its replicas for good.</summary>
internal static class OpenSettings
{
    /// <summary>As many as a run can have, of all kinds of clients. With less room than keys a context that can never be stripped, because a dot before it is lost for good, would leave the digests unknown.</summary>
    private const int MaxKeys = ScenarioSettings.MostKeys + SessionClient.SessionKeys + TypedLedger.Counters + TypedLedger.ExpiringKeys;

    public static ScenarioSettings Widen(ScenarioSettings drawn, Random random)
    {
        int nodes = random.Next(10) switch { < 6 => 3, < 8 => 5, 8 => 4, _ => 2 };
        bool replaces = random.Next(3) == 0;
        int spares = replaces ? random.Next(1, 3) : 0;
        bool wipes = !replaces && random.Next(3) == 0;
        bool goesBack = !replaces && random.Next(5) == 0;
        bool staysAway = random.Next(2) == 0;
        bool isLong = random.Next(4) == 0;
        return drawn with
        {
            Nodes = nodes + spares,
            Spares = spares,
            MayWipe = wipes || goesBack,
            MayRestoreBackup = goesBack,
            MayStayAway = staysAway,
            MayDamage = random.Next(3) == 0,
            WorkUs = isLong ? 90_000_000 : drawn.WorkUs,
            OperationsPerClient = isLong ? drawn.OperationsPerClient * 3 : drawn.OperationsPerClient,
            Replica = drawn.Replica with { Dotted = staysAway ? DrawTight(random) : DottedOptions.Default },
        };
    }

    /// <summary>Whoever is away for a little lacks more dots than are kept for it; pages hold a few.</summary>
    private static DottedOptions DrawTight(Random random) => new()
    {
        MaxIndexedDots = random.Next(2) == 0 ? random.Next(2, 8) : random.Next(8, 60),
        MaxPageDots = random.Next(1, 6),
        MaxPageBytes = random.Next(2) == 0 ? 100 : 512 * 1024,
        MaxRemembered = random.Next(2) == 0 ? random.Next(MaxKeys, 2 * MaxKeys) : 100_000,
    };
}
