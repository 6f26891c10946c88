using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench;

/// <summary><c>kv bench watch</c>: what watches cost a node, and how soon they tell. It brings its own node; watches, writers and clock are in this process.</summary>
internal static class WatchBenchCommand
{
    private const string Examples =
        """
        kv bench watch
        kv bench watch --watches 10000 --rate 500 --duration 30s
        """;

    public static Command Create(CommandHost host)
    {
        var watches = Count("--watches", "How many watches, each of a key of its own.", 10_000, 20_000);
        var rate = Count("--rate", "Writes a second, each of a watched key.", 500, 100_000);
        var duration = new Option<TimeSpan>("--duration")
        {
            Description = "How long to write. Default: 20s.",
            HelpName = "TIME",
            DefaultValueFactory = _ => TimeSpan.FromSeconds(20),
            CustomParser = result => Quantities.ParseTime(result, TimeSpan.FromSeconds(1), TimeSpan.FromHours(1)),
        };
        var command = new Command("watch", "Open many watches at a node of its own, write, and measure its memory and how soon each change is told.") { watches, rate, duration };
        return host.Add(command, Examples, context => RunAsync(context, context.Value(watches), context.Value(rate), context.Value(duration)));
    }

    private static async Task<ExitCode> RunAsync(CommandContext context, int watches, int rate, TimeSpan duration)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new CliFailure(ExitCode.Failed, "'kv bench watch' runs on Linux and macOS; on Windows use WSL.");
        }

        var directory = Directory.CreateTempSubdirectory("kv-watch-").FullName;
        try
        {
            var place = new ClusterDirectory(directory);
            var plan = ClusterPlan.Settle(place, 1, ConsecutivePorts.Find(1), engine: null);
            plan.Save(place);
            using var cluster = await LocalClusterProcesses.StartAsync(place, plan, faultInjection: false, detached: false, context.Stop);
            try
            {
                await MeasureAsync(context, cluster, watches, rate, duration);
                return ExitCode.Ok;
            }
            finally
            {
                await cluster.StopAsync();
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task MeasureAsync(CommandContext context, LocalClusterProcesses cluster, int watches, int rate, TimeSpan duration)
    {
        var options = new KvClientOptions { DefaultTimeout = context.Timeout };
        options.Endpoints.Add(cluster.Nodes[0].ToRunning().Address);
        await using var client = context.Terminal.Connect(options);
        await client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = "watched", Policy = PartitionPolicy.Cp, Replication = Replication.Sync, Shards = 8 }, context.Stop);
        IKvKeyspace keyspace = client.Keyspace("watched");
        for (var key = 0; key < 2_000; key++)
        {
            await keyspace.PutAsync(KeyOf(key % watches), BitConverter.GetBytes(0L), cancellationToken: context.Stop);
        }

        var before = Resident(cluster);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.Stop);
        var readers = new WatchReaders(keyspace, stop.Token);
        var begin = Stopwatch.GetTimestamp();
        await readers.OpenAsync(watches, KeyOf);
        var opened = Stopwatch.GetElapsedTime(begin);
        var after = Resident(cluster);
        context.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"watch: {watches:N0} watches opened in {opened.TotalSeconds:0.0} s; the node's memory went from {before >> 20:N0} to {after >> 20:N0} MiB, {(after - before) / (double)watches / 1_024:0.0} KiB a watch"));

        var used = Used(cluster);
        begin = Stopwatch.GetTimestamp();
        var written = await WriteAsync(keyspace, watches, rate, duration, context.Stop);
        var elapsed = Stopwatch.GetElapsedTime(begin);
        await readers.WhenToldAsync(written, context.Stop);
        var cpu = (Used(cluster) - used) / elapsed;
        context.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"  {written / elapsed.TotalSeconds:N0} writes/s, each told once; from the call of the put to its telling: {readers.Describe()}; the node used {100 * cpu:0} % of a core, and had {Resident(cluster) >> 20:N0} MiB at the end"));
        await stop.CancelAsync();
        await readers.WhenEndedAsync();
    }

    private static async Task<int> WriteAsync(IKvKeyspace keyspace, int watches, int rate, TimeSpan duration, CancellationToken stop)
    {
        var random = new Random(1);
        var writes = new List<Task>();
        var begin = Stopwatch.GetTimestamp();
        var written = 0;
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(5));
        while (Stopwatch.GetElapsedTime(begin) is var elapsed && elapsed < duration && await pace.WaitForNextTickAsync(stop))
        {
            for (; written < (int)(elapsed.TotalSeconds * rate); written++)
            {
                writes.Add(keyspace.PutAsync(KeyOf(random.Next(watches)), BitConverter.GetBytes(Stopwatch.GetTimestamp()), cancellationToken: stop).AsTask());
            }
        }

        await Task.WhenAll(writes);
        return written;
    }

    private static string KeyOf(int number) => string.Create(CultureInfo.InvariantCulture, $"watched/{number:00000}");

    private static long Resident(LocalClusterProcesses cluster)
    {
        using var process = Process.GetProcessById(cluster.Nodes[0].Pid);
        return process.WorkingSet64;
    }

    private static TimeSpan Used(LocalClusterProcesses cluster)
    {
        using var process = Process.GetProcessById(cluster.Nodes[0].Pid);
        return process.TotalProcessorTime;
    }

    private static Option<int> Count(string name, string description, int usual, int most) => new(name)
    {
        Description = $"{description} Default: {usual}.",
        HelpName = "N",
        DefaultValueFactory = _ => usual,
        CustomParser = result => Quantities.ParseCount(result, 1, most),
    };
}
