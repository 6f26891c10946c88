using KvStore.Cli.Bench.Load;
using KvStore.Client;

namespace KvStore.Cli.Bench;

/// <summary>What a benchmark does.</summary>
internal enum BenchKind
{
    Put,
    Get,

    /// <summary>Half of each.</summary>
    Mixed,
}

/// <summary>A benchmark as it was asked for.</summary>
internal sealed record BenchSettings
{
    public required BenchKind Kind { get; init; }

    public required string Keyspace { get; init; }

    public required int Concurrency { get; init; }

    public TimeSpan? Duration { get; init; }

    public int? Operations { get; init; }

    public double? Rate { get; init; }

    public required int Keys { get; init; }

    public required int ValueSize { get; init; }

    public KvReadLevel Level { get; init; }

    public required TimeSpan WarmUp { get; init; }

    public static readonly TimeSpan DefaultWarmUp = TimeSpan.FromSeconds(2);

    public static readonly TimeSpan DefaultDuration = TimeSpan.FromSeconds(10);

    public LoadPlan Measured => new() { Concurrency = Concurrency, Duration = Duration, Operations = Operations, RatePerSecond = Rate };

    /// <summary>The same load for a short while, not counted: connections, just-in-time compilation, caches.</summary>
    public LoadPlan WarmingUp => Measured with { Duration = WarmUp, Operations = null, Seed = 2 };
}
