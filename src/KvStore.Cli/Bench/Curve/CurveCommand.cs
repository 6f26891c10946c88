using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Bench.Rig;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench.Curve;

/// <summary><c>kv bench curve</c>: latency against offered rate, for sync cp puts and async ap puts, on a cluster of its own.</summary>
internal static class CurveCommand
{
    /// <summary>Open loop: operations in flight at the most. The client keeps up to 2,048 writes unfinished.</summary>
    private const int InFlight = 2_048;

    private const int ValueBytes = 100;

    private static readonly int[] Percents = [10, 25, 40, 50, 60, 70, 80, 90, 95];

    /// <summary>Closed loops that look for saturation: the best of them is it.</summary>
    private static readonly int[] Saturating = [64, 256, 1_024];

    private const string Examples =
        """
        kv bench curve --csv curve.csv --svg curve.svg
        kv bench curve --step 5s --shards 32 --only cp
        """;

    public static Command Create(CommandHost host)
    {
        var step = Amounts.Time("--step", "How long to measure at each rate, after a fifth of it to warm up.", TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(200), TimeSpan.FromMinutes(10));
        var nodes = Amounts.Count("--nodes", "How many nodes.", 3, 1, ClusterPlan.MaxNodes);
        var shards = Amounts.Count("--shards", "Shards of each keyspace.", KvLimits.DefaultShards, 1, KvLimits.MaxShards);
        var keys = Amounts.Count("--keys", "How many different keys.", 10_000, 1, 10_000_000);
        var only = new Option<string>("--only") { Description = "cp: sync puts; ap: async puts; both (default).", DefaultValueFactory = _ => "both" };
        only.AcceptOnlyFromAmong("cp", "ap", "both");
        var csv = new Option<string?>("--csv") { Description = "Write the points to a file.", HelpName = "FILE" };
        var svg = new Option<string?>("--svg") { Description = "Draw them into a file: a panel for each keyspace, latency on a logarithmic axis.", HelpName = "FILE" };
        var command = new Command("curve", "Find the rate that saturates a cluster of its own, offer 10 to 95 % of it, and show the latencies of puts.") { step, nodes, shards, keys, only, csv, svg };
        return host.Add(command, Examples, async context =>
        {
            await using var cluster = await OwnCluster.StartAsync(context, "curve", context.Value(nodes));
            var points = new List<CurvePoint>();
            foreach (var (name, settings) in Series(context.Value(only)!, context.Value(shards)))
            {
                await cluster.CreateAsync(settings, context.Stop);
                var load = new KvLoad(cluster.Client.Keyspace(settings.Name), context.Value(keys), ValueBytes);
                await load.FillAsync(64, context.Stop);
                points.AddRange(await MeasureAsync(context, cluster, name, load, context.Value(step)));
            }

            if (context.Value(csv) is { } table)
            {
                CurvePoint.WriteCsv(table, points);
            }

            if (context.Value(svg) is { } plot)
            {
                LatencyPlot.Write(plot, points);
            }

            return ExitCode.Ok;
        });
    }

    private static IEnumerable<(string Name, KvKeyspaceSettings Settings)> Series(string only, int shards)
    {
        if (only != "ap")
        {
            yield return ("sync cp put", new KvKeyspaceSettings { Name = "curve-cp", Policy = PartitionPolicy.Cp, Replication = Replication.Sync, Shards = shards });
        }

        if (only != "cp")
        {
            yield return ("async ap put", new KvKeyspaceSettings { Name = "curve-ap", Policy = PartitionPolicy.Ap, Replication = Replication.Async, Shards = shards });
        }
    }

    private static async Task<List<CurvePoint>> MeasureAsync(CommandContext context, OwnCluster cluster, string name, KvLoad load, TimeSpan step)
    {
        context.Line($"{name}:");
        var saturation = 0.0;
        foreach (var concurrency in Saturating)
        {
            var plan = new LoadPlan { Concurrency = concurrency, Duration = step };
            await WarmUpAsync(plan, load, context.Stop);
            var closed = await new LoadGenerator(plan, load.PutAsync).RunAsync(null, context.Stop);
            saturation = Math.Max(saturation, closed.PerSecond);
            context.Line(string.Create(CultureInfo.InvariantCulture, $"  closed loop, {concurrency,4} in flight: {closed.PerSecond:N0} op/s, p50 {BenchReport.Time(closed.Percentile(50))}, p99 {BenchReport.Time(closed.Percentile(99))}"));
        }

        context.Line(string.Create(CultureInfo.InvariantCulture, $"  taken for saturation: {saturation:N0} op/s; from here open loop, at most {InFlight:N0} in flight"));
        context.Line(CurvePoint.Header);
        var points = new List<CurvePoint>();
        foreach (var percent in Percents)
        {
            context.Stop.ThrowIfCancellationRequested();
            var point = await OfferAsync(cluster, name, load, percent, saturation, step, context.Stop);
            context.Line(point.Line());
            points.Add(point);
        }

        var busy = points.Single(point => point.Percent == 80).Load;
        context.Line(string.Create(CultureInfo.InvariantCulture, $"  at 80 % of saturation p99 is {busy.Percentile(99) / busy.Percentile(50):0.0} times p50"));
        return points;
    }

    private static async Task<CurvePoint> OfferAsync(OwnCluster cluster, string name, KvLoad load, int percent, double saturation, TimeSpan step, CancellationToken stop)
    {
        var rate = Math.Max(1, saturation * percent / 100);
        var plan = new LoadPlan { Concurrency = InFlight, Duration = step, RatePerSecond = rate };
        await WarmUpAsync(plan, load, stop);
        var (machine, nodes, own) = (MachineReading.Now(), cluster.Used(), Environment.CpuUsage.TotalTime);
        var report = await new LoadGenerator(plan, load.PutAsync).RunAsync(null, stop);
        return new CurvePoint(name, percent, rate, report, cluster.Used() - nodes, Environment.CpuUsage.TotalTime - own, machine.Since());
    }

    private static Task<LoadReport> WarmUpAsync(LoadPlan plan, KvLoad load, CancellationToken stop) =>
        new LoadGenerator(plan with { Duration = plan.Duration / 5, Seed = 2 }, load.PutAsync).RunAsync(null, stop);
}
