using KvStore.Simulator.Faults;

namespace KvStore.Simulator.Scenarios;

/// <summary>What became of one seed.</summary>
internal sealed record SimulationReport
{
    public required ulong Seed { get; init; }

    public required ScenarioKind Kind { get; init; }

    public required SimulationOptions Options { get; init; }

    public required int Nodes { get; init; }

    public required string Settings { get; init; }

    /// <summary>Null: everything held.</summary>
    public required string? Failure { get; init; }

    public required ulong TraceHash { get; init; }

    public required int Operations { get; init; }

    /// <summary>Operations that were done.</summary>
    public required int Done { get; init; }

    public required TimeSpan VirtualTime { get; init; }

    public required long Events { get; init; }

    /// <summary>How often each kind of fault struck, and notable events.</summary>
    public required IReadOnlyDictionary<string, long> Counts { get; init; }

    /// <summary>How often each rare branch was met, in their order.</summary>
    public required IReadOnlyList<long> Rare { get; init; }

    /// <summary>The strikes that happened, in order.</summary>
    public required IReadOnlyList<Strike> Strikes { get; init; }

    public string Replay => $"dotnet run -c Release --project tests/KvStore.Simulator -- --scenario {Kind.ToString().ToLowerInvariant()} --seed {Seed}{Options} --trace";
}
