namespace KvStore.Simulator.Engine;

/// <summary>
/// The points at which a run can be forced off the common path ("buggify", after FoundationDB's testing). Each is on in some seeds and off in others. A point that never fires in a long run is
/// reported: either it is unreachable, or the load is too tame.
/// </summary>
internal enum RareBranch
{
    // Bounds at their smallest, drawn with the settings of a seed: fired when a run with that bound has begun.
    AppendsOfOneEntry,
    InflightWindowOfOne,
    InflightBytesOfOneEntry,
    TinyUncommittedBound,
    TinyReadQueue,
    OneReadRound,
    EqualElectionTimeouts,
    ApplyOneEntryAtATime,
    TinyPendingBound,
    ForcedCompaction,
    TinySnapshotPages,
    ImpatientSnapshots,
    TinyScanPages,
    SealEveryTick,
    SealTinyUnits,
    TinyTables,
    NoPreload,
    CommitToldWithHeartbeats,
    TinyRetainedLog,

    // What the loop and the storage may do and rarely do.
    LostWakeup,
    LateStep,
    TurnAfterEachInput,
    TurnTwice,
    EarlyTick,
    SkippedTick,
    LateDurableReport,
    LateLoad,
    ForcedFlush,
    FalseSuspicion,
    SpuriousCampaign,

    // The moments at which a crash hurts most.
    CrashAfterAnswer,
    CrashAtDurable,
    CrashAtSnapshotPage,
    CrashAtInstalled,
    CrashAtScan,
    CrashAtStart,

    // What bounds bring about: fired when seen.
    SeenOverloaded,
    SeenLeadershipLost,
    SeenConditionFailed,
    SeenDiskLow,
    SeenLoadFromView,
    SeenSnapshotInstalled,
    SeenStartRefused,
    SeenRepairedStart,
}
