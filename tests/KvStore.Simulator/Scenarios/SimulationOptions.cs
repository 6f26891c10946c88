using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Scenarios;

/// <summary>How a seed is played, beside what it says itself. For replays, and for finding the smallest one that still fails.</summary>
internal sealed record SimulationOptions
{
    public static readonly SimulationOptions Default = new();

    /// <summary>Gets a line for each event.</summary>
    public TextWriter? Lines { get; init; }

    /// <summary>Only these strikes of the plan happen. Null: all.</summary>
    public IReadOnlyCollection<int>? Keep { get; init; }

    /// <summary>Share of the load that clients bring, in percent.</summary>
    public int LoadPercent { get; init; } = 100;

    /// <summary>Whether rare branches are forced at random. Bounds that are tight stay so.</summary>
    public bool ForcesRareBranches { get; init; } = true;

    /// <summary>Rare branches with rates of the caller's choice.</summary>
    public IReadOnlyDictionary<RareBranch, double>? Force { get; init; }

    /// <summary>The arguments that replay this.</summary>
    public override string ToString() =>
        (Keep is null ? "" : $" --keep {(Keep.Count == 0 ? "none" : string.Join(",", Keep.Order()))}") + (LoadPercent == 100 ? "" : $" --load {LoadPercent}") + (ForcesRareBranches ? "" : " --no-rare");
}
