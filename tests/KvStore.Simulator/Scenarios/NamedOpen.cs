using KvStore.Core.Eventual;
using KvStore.Core.Policy;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// Single faults in an open shard of three, again and again while clients work, and then everything that holds for open shards: equal clocks, records and digests, nothing acknowledged lost, nothing back from the
/// dead, no dot key left.
/// </summary>
public static class NamedOpen
{
    public static void OpenMessagesMinutesLate(ulong seed) => Play(seed, FaultKind.LateReplays, FaultKind.BadNetwork);

    public static void OpenKills(ulong seed) => Play(seed, FaultKind.Kill);

    public static void OpenClocksAtAnotherSpeed(ulong seed) => Play(seed, FaultKind.TimerDrift, FaultKind.WallStep, FaultKind.WallStrobe);

    public static void OpenPowerLossOnOne(ulong seed) => Play(seed, FaultKind.PowerLoss);

    public static void OpenPowerLossOnAll(ulong seed) => Play(seed, FaultKind.BlackOut);

    public static void OpenPowerLossThenNeeded(ulong seed) => Play(seed, FaultKind.PowerLoss, FaultKind.Pause, FaultKind.MinorityFirst);

    public static void OpenTornTail(ulong seed) => Play(seed, FaultKind.PowerLossInSync);

    public static void OpenLogBitFlip(ulong seed) => Play(seed, FaultKind.LogBitFlip);

    public static void OpenViewDamage(ulong seed) => Play(seed, FaultKind.ViewDamage);

    public static void OpenDiskFull(ulong seed) => Play(seed, FaultKind.DiskFull, FaultKind.DiskNearlyFull);

    public static void OpenSyncFails(ulong seed) => Play(seed, FaultKind.SyncError);

    public static void OpenSlowSyncs(ulong seed) => Play(seed, FaultKind.SlowSyncs);

    public static void OpenDiskWiped(ulong seed) => Play(seed, settings => settings with { MayWipe = true }, FaultKind.LostDisk, FaultKind.Partition);

    public static void OpenOldBackup(ulong seed) => Play(seed, settings => settings with { MayWipe = true, MayRestoreBackup = true }, FaultKind.OldBackup, FaultKind.Partition);

    public static void OpenLogFileMissing(ulong seed) => Play(seed, FaultKind.LogFileMissing);

    /// <summary>Away for so long that the others have forgotten which keys it lacks.</summary>
    public static void OpenLongAbsence(ulong seed) => Play(
        seed,
        settings => settings with
        {
            MayStayAway = true,
            WorkUs = 60_000_000,
            OperationsPerClient = 150,
            Replica = settings.Replica with { ScanPageBytes = 300, Dotted = new DottedOptions { MaxIndexedDots = 5, MaxPageDots = 2 } },
        },
        FaultKind.LongAbsence);

    /// <summary>Spares come in, members leave, a lost disk is replaced under a new id.</summary>
    public static void OpenReplacement(ulong seed) => Play(seed, settings => settings with { Nodes = 5, Spares = 2, OperationsPerClient = 150 }, FaultKind.Isolation);

    private static void Play(ulong seed, params FaultKind[] kinds) => Play(seed, settings => settings, kinds);

    private static void Play(ulong seed, Func<ScenarioSettings, ScenarioSettings> adjust, params FaultKind[] kinds)
    {
        const int EveryUs = 1_500_000;
        ScenarioSettings settings = adjust(NamedRun.Calm(3) with { Mode = new KeyspaceMode(PartitionChoice.Ap, Replication.Sync), OperationsPerClient = 80, MaxThinkUs = 300_000 });
        var random = new Random((int)seed);
        List<Strike> plan = [];
        for (long atUs = EveryUs; atUs < settings.WorkUs; atUs += EveryUs)
        {
            plan.Add(new Strike(plan.Count, atUs, kinds[plan.Count % kinds.Length], random.Next()));
        }

        var stage = new SimulationStage(settings, new SeedSource(seed), new SimulationOptions { ForcesRareBranches = false });
        stage.StartAll();
        OpenPlay.Play(stage, plan);
    }
}
