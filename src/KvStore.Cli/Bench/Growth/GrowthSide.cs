using System.Globalization;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Bench.Rig;

namespace KvStore.Cli.Bench.Growth;

/// <summary>One keyspace of the comparison, and what its turns measured.</summary>
internal sealed class GrowthSide(OwnCluster cluster, GrowthLoad load, int keys)
{
    /// <summary>Before each turn: what the other keyspace has pushed out of the caches comes back.</summary>
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(1);

    private readonly Dictionary<string, List<(double CpuUs, double PerSecond, double P50Us, double P99Us)>> _turns = [];

    public int Keys => keys;

    /// <summary>Operations that were not done, of all turns.</summary>
    public long NotDone { get; private set; }

    public async Task MeasureAsync(string what, int concurrency, TimeSpan turn, CancellationToken stop)
    {
        LoadOperation operation = what == "put" ? load.PutAsync : load.GetAsync;
        var plan = new LoadPlan { Concurrency = concurrency, Duration = turn, Seed = (ulong)(1_000 * (Turns(what).Count + 1)) };
        await new LoadGenerator(plan with { Duration = WarmUp < turn ? WarmUp : turn, Seed = plan.Seed + 500_000 }, operation).RunAsync(null, stop);
        var before = cluster.Used();
        var report = await new LoadGenerator(plan, operation).RunAsync(null, stop);
        var cpu = (cluster.Used() - before).TotalMicroseconds / Math.Max(1, report.Done);
        NotDone += report.FailedCount + report.UnknownCount;
        Turns(what).Add((cpu, report.PerSecond, report.Percentile(50).TotalMicroseconds, report.Percentile(99).TotalMicroseconds));
    }

    /// <summary>Processor time of the nodes for each operation in each turn, in microseconds.</summary>
    public double[] CpuUs(string what) => [.. Turns(what).Select(turn => turn.CpuUs)];

    public string Line(string what)
    {
        var turns = Turns(what);
        var cpu = CpuUs(what);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"  {what}  {keys,12:N0}  {Middle(cpu),14:0.00}  {cpu.Min(),7:0.00} to {cpu.Max(),6:0.00}  {Middle(turns.Select(turn => turn.PerSecond)),9:N0}  {BenchReport.Time(TimeSpan.FromMicroseconds(Middle(turns.Select(turn => turn.P50Us)))),8}  {BenchReport.Time(TimeSpan.FromMicroseconds(Middle(turns.Select(turn => turn.P99Us)))),8}");
    }

    public static double Middle(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private List<(double CpuUs, double PerSecond, double P50Us, double P99Us)> Turns(string what) => _turns.TryGetValue(what, out var turns) ? turns : _turns[what] = [];
}
