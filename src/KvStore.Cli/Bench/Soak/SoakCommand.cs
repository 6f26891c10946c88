using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Bench.Load;
using KvStore.Cli.Bench.Rig;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Running;

namespace KvStore.Cli.Bench.Soak;

/// <summary><c>kv bench soak</c>: a cluster of its own under a steady mixed load for a long time, and what its nodes use meanwhile: memory that grows shows here.</summary>
internal static class SoakCommand
{
    /// <summary>Open loop: operations in flight at the most. Far above what the rate needs while the cluster keeps up.</summary>
    private const int InFlight = 1_024;

    private const string Examples =
        """
        kv bench soak
        kv bench soak --duration 4h --rate 5000 --every 5m
        """;

    public static Command Create(CommandHost host)
    {
        var duration = Amounts.Time("--duration", "How long.", TimeSpan.FromMinutes(30), TimeSpan.FromSeconds(2), TimeSpan.FromDays(7));
        var every = Amounts.Time("--every", "How often to read memory, threads, files and disk of each node.", TimeSpan.FromMinutes(1), TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));
        var rate = Amounts.Count("--rate", "Operations a second, whatever the answers do.", 3_000, 1, 1_000_000);
        var keys = Amounts.Count("--keys", "Keys of each keyspace on disk; the one in memory gets eight times as many.", 10_000, 1, 1_000_000);
        var nodes = Amounts.Count("--nodes", "How many nodes.", 3, 1, ClusterPlan.MaxNodes);
        var command = new Command("soak", "Load a cluster of its own steadily, and show memory, threads, files and disk of its nodes over time. Exit code 1: an operation failed or is unknown, or the cluster did not keep up with the rate.")
        {
            duration, every, rate, keys, nodes,
        };
        return host.Add(command, Examples, context => RunAsync(context, context.Value(duration), context.Value(every), context.Value(rate), context.Value(keys), context.Value(nodes)));
    }

    private static async Task<ExitCode> RunAsync(CommandContext context, TimeSpan duration, TimeSpan every, int rate, int keys, int nodes)
    {
        await using var cluster = await OwnCluster.StartAsync(context, "soak", nodes);
        context.Note("writing the keys ...");
        var load = await SoakLoad.PrepareAsync(cluster, keys, context.Stop);
        context.Line(string.Create(CultureInfo.InvariantCulture, $"soak: {nodes} nodes, {rate:N0} op/s due (open loop) for {Quantities.Describe(duration)}; {SoakLoad.Description}"));
        var journal = new SoakJournal(cluster, context);
        journal.WriteHeader();
        await journal.ReadAsync(default);

        var machine = MachineReading.Now();
        LoadProgress last = default;
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.Stop);
        var loading = new LoadGenerator(new LoadPlan { Concurrency = InFlight, Duration = duration, RatePerSecond = rate }, load.RunAsync).RunAsync(second => last = second, context.Stop);
        var ending = loading.ContinueWith(_ => ended.CancelAsync(), TaskScheduler.Default).Unwrap();
        using (var timer = new PeriodicTimer(every))
        {
            try
            {
                while (await timer.WaitForNextTickAsync(ended.Token))
                {
                    await journal.ReadAsync(last);
                }
            }
            catch (OperationCanceledException)
            {
                // The load has ended, or was interrupted: what there is of it is shown all the same.
            }
        }

        await ending;
        var report = await loading;
        Conclude(context, journal, machine, report);
        context.Stop.ThrowIfCancellationRequested();

        // What was due in the last moment may stay unsent on a busy machine; a second's worth of it means that the cluster did not keep up.
        return report.FailedCount + report.UnknownCount == 0 && report.DueButNotSent < rate ? ExitCode.Ok : ExitCode.Failed;
    }

    private static void Conclude(CommandContext context, SoakJournal journal, MachineReading machine, LoadReport report)
    {
        context.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Done:N0} operations, {report.PerSecond:N0} op/s, p50 {BenchReport.Time(report.Percentile(50))}, p99 {BenchReport.Time(report.Percentile(99))}, p99.9 {BenchReport.Time(report.Percentile(99.9))}; not done {BenchReport.Codes(report.Failed)}; unknown {BenchReport.Codes(report.Unknown)}; not sent in time {report.DueButNotSent:N0}"));
        foreach (var line in journal.Growth())
        {
            context.Line(line);
        }

        context.Line(machine.Since());
    }
}
