namespace KvStore.Simulator.Scenarios;

internal enum ScenarioKind
{
    /// <summary>An ordered shard under all faults that consensus must stand.</summary>
    Consensus,

    /// <summary>An open shard.</summary>
    Ap,

    /// <summary>An open shard of which one replica comes back under its old ids with an empty disk, or an old copy of it.</summary>
    Wipe,

    /// <summary>An ordered shard whose members change: spares join, voters leave, lost disks are replaced under new ids.</summary>
    Members,

    /// <summary>An open shard in which the newest of concurrent values wins.</summary>
    Lww,

    /// <summary>An open shard whose data lives in memory only, often with too little of it.</summary>
    Memory,

    /// <summary>An adaptive shard: minorities serve provisionally, and what they wrote is merged.</summary>
    Adaptive,

    /// <summary>An open shard of any size under all faults: disks lost, replicas replaced while it serves, absences past the bound of the dot-key index.</summary>
    Open,

    /// <summary>A shard whose mode changes, between cp and ap and back.</summary>
    Dial,

    /// <summary>The same, and adaptive is one of the modes.</summary>
    DialAdaptive,

    /// <summary>Whole nodes with many shards, and whole clients; see <see cref="Clusters.ClusterSimulation"/>.</summary>
    Cluster,
}

internal static class ScenarioKinds
{
    /// <summary>The scenarios by the names of the command line.</summary>
    public static readonly IReadOnlyDictionary<string, ScenarioKind> ByName = new SortedDictionary<string, ScenarioKind>(StringComparer.Ordinal)
    {
        ["consensus"] = ScenarioKind.Consensus,
        ["cp"] = ScenarioKind.Consensus,
        ["ap"] = ScenarioKind.Ap,
        ["wipe"] = ScenarioKind.Wipe,
        ["lww"] = ScenarioKind.Lww,
        ["memory"] = ScenarioKind.Memory,
        ["open"] = ScenarioKind.Open,
        ["members"] = ScenarioKind.Members,
        ["adaptive"] = ScenarioKind.Adaptive,
        ["dial"] = ScenarioKind.Dial,
        ["dial-adaptive"] = ScenarioKind.DialAdaptive,
        ["cluster"] = ScenarioKind.Cluster,
    };
}
