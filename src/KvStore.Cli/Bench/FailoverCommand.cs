using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Demo;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench;

/// <summary><c>kv bench failover</c>: on a cluster of its own, how long writes stand still when a leader is killed or cut off, and whether leaders change without a reason.</summary>
internal static class FailoverCommand
{
    private const string Examples =
        """
        kv bench failover
        kv bench failover --rounds 5 --how kill
        kv bench failover --rounds 0 --calm 10m        only watch for elections under full load
        """;

    public static Command Create(CommandHost host)
    {
        var rounds = new Option<int>("--rounds")
        {
            Description = "Failures of each kind, 0 to 1000. Default: 30.",
            HelpName = "N",
            DefaultValueFactory = _ => 30,
            CustomParser = result => Quantities.ParseCount(result, 0, 1_000),
        };
        var how = new Option<string>("--how") { Description = "kill: SIGKILL and a restart; isolate: all links cut and healed.", DefaultValueFactory = _ => "both" };
        how.AcceptOnlyFromAmong("kill", "isolate", "both");
        var calm = new Option<TimeSpan>("--calm")
        {
            Description = "How long to load the cluster fully and count leader changes that nothing caused. Default: 0s, not at all.",
            HelpName = "TIME",
            CustomParser = result => Quantities.ParseTime(result, TimeSpan.Zero, TimeSpan.FromHours(1)),
        };
        var nodes = new Option<int>("--nodes")
        {
            Description = "How many nodes, 3 to 7.",
            HelpName = "N",
            DefaultValueFactory = _ => 3,
            CustomParser = result => Quantities.ParseCount(result, 3, 7),
        };
        var command = new Command("failover", "Kill and isolate leaders of a cluster of its own, and measure how long writes stand still. Exit code 1: a leader changed without a reason.") { rounds, how, calm, nodes };
        return host.Add(command, Examples, context => RunAsync(context, context.Value(rounds), context.Value(how)!, context.Value(calm), context.Value(nodes)));
    }

    private static async Task<ExitCode> RunAsync(CommandContext context, int rounds, string how, TimeSpan calm, int nodes)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new CliFailure(ExitCode.Failed, "'kv bench failover' runs on Linux and macOS; on Windows use WSL.");
        }

        var directory = Directory.CreateTempSubdirectory("kv-failover-").FullName;
        try
        {
            await using var cluster = await DemoCluster.StartAsync(context, directory, nodes);
            var rig = new FailoverRig(cluster, context);
            await rig.PrepareAsync();
            foreach (var kind in (string[])(how == "both" ? ["kill", "isolate"] : [how]))
            {
                if (rounds > 0)
                {
                    await MeasureAsync(context, rig, kind, rounds);
                }
            }

            return calm > TimeSpan.Zero && await WatchAsync(context, cluster, rig, calm) > 0 ? ExitCode.Failed : ExitCode.Ok;
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task MeasureAsync(CommandContext context, FailoverRig rig, string kind, int rounds)
    {
        var before = CpuTimes.Read();
        var first = new List<double>();
        var waiting = new List<double>();
        for (var round = 1; round <= rounds; round++)
        {
            var (acknowledged, oldest) = await rig.FailAsync(kind == "kill");
            context.Note(string.Create(CultureInfo.InvariantCulture, $"{kind} {round}: first write acknowledged after {acknowledged.TotalMilliseconds:0} ms, the write that waited from the beginning after {oldest.TotalMilliseconds:0} ms"));
            first.Add(acknowledged.TotalMilliseconds);
            waiting.Add(oldest.TotalMilliseconds);
        }

        context.Line(Summary($"{kind}: next acknowledged write", first));
        context.Line(Summary($"{kind}: a write sent at that moment", waiting));
        context.Line(Machine(before));
    }

    /// <summary>Loads the cluster with as much as it takes and counts how often a shard changed its leader or its term.</summary>
    private static async Task<int> WatchAsync(CommandContext context, DemoCluster cluster, FailoverRig rig, TimeSpan calm)
    {
        const string Keyspace = "calm";
        await cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = Keyspace, Policy = PartitionPolicy.Cp, Replication = Replication.Sync }, context.Stop);
        await rig.UntilLedAsync(Keyspace);
        var load = new KvLoad(cluster.Client.Keyspace(Keyspace), keys: 10_000, valueSize: 100);
        await load.FillAsync(64, context.Stop);
        var terms = await rig.TermsAsync(Keyspace);
        var before = CpuTimes.Read();
        var report = await new LoadGenerator(new LoadPlan { Concurrency = 64, Duration = calm }, load.MixedAsync).RunAsync(second => context.Note(BenchReport.Line(second)), context.Stop);
        var after = await rig.TermsAsync(Keyspace);
        var elections = terms.Keys.Count(shard => after[shard] != terms[shard]);
        context.Line(string.Create(CultureInfo.InvariantCulture, $"calm: {Quantities.Describe(calm)} of load, {report.PerSecond:N0} op/s; {elections} of {terms.Count} shards had an election, {report.FailedCount} operations failed, {report.UnknownCount} unknown"));
        context.Line(Machine(before));
        return elections;
    }

    private static string Summary(string what, List<double> times)
    {
        times.Sort();
        return string.Create(CultureInfo.InvariantCulture, $"{what}: median {Percentile(times, 0.5):0} ms, p90 {Percentile(times, 0.9):0} ms, max {times[^1]:0} ms ({times.Count} runs)");
    }

    private static double Percentile(List<double> sorted, double share) => sorted[Math.Min(sorted.Count - 1, (int)(share * sorted.Count))];

    private static string Machine(CpuTimes? before) => before is { } earlier && CpuTimes.Read() is { } now && now.PercentSince(earlier) is var (busy, steal)
        ? string.Create(CultureInfo.InvariantCulture, $"  machine busy {busy:0} %, steal {steal:0.0} %")
        : "  the machine does not tell its load";
}
