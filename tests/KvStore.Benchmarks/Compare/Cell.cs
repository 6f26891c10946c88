using KvStore.Cli.Bench.Load;

namespace KvStore.Benchmarks.Compare;

/// <summary>What a row of the comparison asks for: so many times the peer's throughput, or so small a part of its median latency.</summary>
internal enum GoalKind
{
    ThroughputAtLeast,
    MedianLatencyBelow,
}

/// <summary>One side of a row.</summary>
/// <param name="Name">What is measured.</param>
/// <param name="Operation">One operation of it.</param>
/// <param name="Weight">How many puts or gets one operation is.</param>
internal sealed record Side(string Name, LoadOperation Operation, int Weight = 1);

/// <summary>One row of the comparison.</summary>
internal sealed record Cell(string Group, int Concurrency, Side Ours, Side Peer, GoalKind Kind, double? Goal)
{
    private readonly List<(Reading Ours, Reading Peer)> _rounds = [];

    public string Title => Group == "batch" ? Ours.Name : $"{Ours.Name}, {Concurrency} in flight";

    public void Add(Reading ours, Reading peer) => _rounds.Add((ours, peer));

    /// <summary>The row: medians of the rounds, and the ratio of each round, because the two sides of a round were measured one right after the other.</summary>
    public string Row()
    {
        double[] ratios = [.. _rounds.Select(round => Kind == GoalKind.ThroughputAtLeast ? round.Ours.PerSecond / round.Peer.PerSecond : round.Ours.Median / round.Peer.Median).Order()];
        double ratio = Middle(ratios);
        bool met = Kind == GoalKind.ThroughputAtLeast ? ratio >= Goal : ratio < Goal;
        string goal = Goal is null ? "none" : Kind == GoalKind.ThroughputAtLeast ? $">= {Goal:0.##}" : $"median < {Goal:0.##}";
        long failed = _rounds.Sum(round => round.Ours.NotDone + round.Peer.NotDone);
        string note = failed == 0 ? "" : $" ({failed:N0} not done)";
        return $"| {Title} | {Describe(round => round.Ours)} | {Peer.Name}: {Describe(round => round.Peer)} | {ratio:0.00} | {ratios[0]:0.00} to {ratios[^1]:0.00} | {goal} | {(Goal is null ? "-" : met ? "yes" : "no")}{note} |";
    }

    public static double Middle(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[(sorted.Length / 2) - 1] + sorted[sorted.Length / 2]) / 2;
    }

    private string Describe(Func<(Reading Ours, Reading Peer), Reading> side)
    {
        double median = Middle(_rounds.Select(round => side(round).Median));
        return $"{Middle(_rounds.Select(round => side(round).PerSecond)):N0}/s, p50 {(median < 1_000 ? $"{median:0} us" : $"{median / 1_000:0.0} ms")}";
    }
}

/// <summary>What one turn of one side measured.</summary>
/// <param name="PerSecond">Puts or gets done per second.</param>
/// <param name="Median">The median latency of an operation, in microseconds.</param>
/// <param name="NotDone">Operations that were refused, or whose outcome is unknown.</param>
internal readonly record struct Reading(double PerSecond, double Median, long NotDone);
