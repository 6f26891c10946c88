namespace KvStore.Cli.Bench.Load;

/// <summary>How one operation of the load ended. The code is a constant string: counting it must cost nothing.</summary>
/// <param name="Kind">Done, failed (no effect), or unknown.</param>
/// <param name="Code">Why it was not done.</param>
public readonly record struct LoadOutcome(LoadOutcomeKind Kind, string? Code)
{
    public static LoadOutcome Done => new(LoadOutcomeKind.Done, null);

    public static LoadOutcome Failed(string code) => new(LoadOutcomeKind.Failed, code);

    public static LoadOutcome Unknown(string code) => new(LoadOutcomeKind.Unknown, code);
}

public enum LoadOutcomeKind
{
    Done,
    Failed,
    Unknown,
}

/// <summary>One operation against whatever is measured. It must not throw for answers of the store; what it throws ends the run.</summary>
/// <param name="worker">Which of the concurrent loops asks, from 0.</param>
/// <param name="random">64 random bits, to choose a key or a kind by.</param>
public delegate ValueTask<LoadOutcome> LoadOperation(int worker, ulong random);

/// <summary>A load to generate: so many loops, for so long or so often, as fast as answers come or at a fixed rate.</summary>
public sealed record LoadPlan
{
    /// <summary>How many operations are in flight at the most.</summary>
    public required int Concurrency { get; init; }

    /// <summary>How long to begin operations. With <see cref="Operations"/> as well: whichever ends first.</summary>
    public TimeSpan? Duration { get; init; }

    /// <summary>How many operations to begin.</summary>
    public long? Operations { get; init; }

    /// <summary>
    /// Operations per second, whatever the answers do (open loop): latency then counts from the moment at which an operation was due, so that a stalled store can't
    /// hide its stall by receiving less. Null: each loop sends when its previous answer has come (closed loop).
    /// </summary>
    public double? RatePerSecond { get; init; }

    /// <summary>The seed of the choice of keys.</summary>
    public ulong Seed { get; init; } = 1;
}

/// <summary>A second of a running load.</summary>
public readonly record struct LoadProgress(TimeSpan Elapsed, long Completed, double PerSecond, TimeSpan P99, long Failed, long Unknown);
