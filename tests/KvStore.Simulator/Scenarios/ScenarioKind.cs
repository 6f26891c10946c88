namespace KvStore.Simulator.Scenarios;

internal enum ScenarioKind
{
    /// <summary>An ordered shard under all faults that consensus must stand.</summary>
    Consensus,

    /// <summary>An open shard.</summary>
    Ap,

    /// <summary>An open shard of which one replica comes back under its old ids with an empty disk, or an old copy of it.</summary>
    Wipe,
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
    };
}
