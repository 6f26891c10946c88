namespace KvStore.Simulator.Faults;

/// <summary>What can strike.</summary>
internal enum FaultKind
{
    // Network.
    Partition,
    Isolation,
    OneWayCut,
    LinkCut,
    Bridge,
    Ring,
    Flapping,
    BadNetwork,
    LateReplays,
    SlowLinks,

    // Processes.
    Kill,
    PowerLoss,
    PowerLossInSync,
    BlackOut,
    MinorityFirst,
    GentleRestart,
    RollingRestart,
    RestartLoop,
    Pause,
    SlowNode,

    // Clocks.
    WallStep,
    WallStrobe,
    TimerDrift,

    // Disks.
    DiskStall,
    SlowSyncs,
    SyncError,
    WriteError,
    DiskNearlyFull,
    DiskFull,
    LogBitFlip,
    ViewDamage,
    LogFileMissing,

    // Only where a seed's settings allow it: a voter that comes back under its old ids with less than it had.
    LostDisk,
    OldBackup,

    // Only where a seed's settings allow it. Drawn after all others, so that the plans of other scenarios stay as they were.
    LongAbsence,
}
