using HdrHistogram;

namespace KvStore.Cli.Bench.Load;

/// <summary>What a load measured.</summary>
public sealed class LoadReport
{
    /// <summary>Latencies are kept in microseconds up to this; longer ones count as this.</summary>
    public const long HighestMicroseconds = 120_000_000;

    /// <summary>Latencies of the operations that were done, in microseconds. Refusals and unknowns are counted, not timed: a fast refusal is no fast answer.</summary>
    public required HistogramBase Latencies { get; init; }

    /// <summary>From the first operation to the end of the window in which operations began (or to the last answer, where a number was asked for).</summary>
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Operations that were done.</summary>
    public long Done => Latencies.TotalCount;

    /// <summary>Operations that were done within <see cref="Elapsed"/>.</summary>
    public required long DoneInTime { get; init; }

    /// <summary>Done operations per second of <see cref="Elapsed"/>.</summary>
    public double PerSecond => Elapsed > TimeSpan.Zero ? DoneInTime / Elapsed.TotalSeconds : 0;

    /// <summary>Operations that had no effect, by code.</summary>
    public required IReadOnlyDictionary<string, long> Failed { get; init; }

    /// <summary>Operations of which nobody knows, by code.</summary>
    public required IReadOnlyDictionary<string, long> Unknown { get; init; }

    /// <summary>Open loop: operations that were due but could not begin before the end, because all loops were waiting for answers.</summary>
    public required long DueButNotSent { get; init; }

    public long FailedCount => Failed.Values.Sum();

    public long UnknownCount => Unknown.Values.Sum();

    /// <summary>The latency that this share of the done operations kept, 0 to 100.</summary>
    public TimeSpan Percentile(double percentile) =>
        Done == 0 ? TimeSpan.Zero : TimeSpan.FromMicroseconds(Latencies.GetValueAtPercentile(percentile));

    public TimeSpan Max => Done == 0 ? TimeSpan.Zero : TimeSpan.FromMicroseconds(Latencies.GetMaxValue());

    public TimeSpan Mean => Done == 0 ? TimeSpan.Zero : TimeSpan.FromMicroseconds(Latencies.GetMean());

    internal static LongHistogram NewHistogram() => new(1, HighestMicroseconds, 3);
}
