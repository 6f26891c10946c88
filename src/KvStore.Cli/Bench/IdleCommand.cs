using System.CommandLine;
using System.Globalization;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench;

/// <summary><c>kv bench idle</c>: what a cluster costs that has nothing to do. It brings its own nodes, so that nobody else talks to them.</summary>
internal static class IdleCommand
{
    private const string Examples =
        """
        kv bench idle
        kv bench idle --shards 8 --windows 5
        """;

    /// <summary>For all groups to fall silent: a second of idleness, and a handshake.</summary>
    private static readonly TimeSpan QuietDeadline = TimeSpan.FromSeconds(60);

    public static Command Create(CommandHost host)
    {
        var nodes = Count("--nodes", "How many nodes.", 3, ClusterPlan.MaxNodes);
        var shards = Count("--shards", "How many shards the one keyspace has.", 256, KvLimits.MaxShards);
        var policy = new Option<string>("--policy") { Description = "cp (default) or ap.", DefaultValueFactory = _ => "cp" };
        policy.AcceptOnlyFromAmong("cp", "ap");
        var warmUp = Time("--warm-up", "How long to wait once all is quiet, before the first window: methods that run often are compiled anew in that time.", TimeSpan.FromSeconds(60), TimeSpan.Zero);
        var window = Time("--window", "How long each window is.", TimeSpan.FromSeconds(20), TimeSpan.FromMilliseconds(100));
        var windows = Count("--windows", "How many windows.", 3, 1_000);
        var command = new Command("idle", "Start a cluster of its own, wait until it is quiet, and measure its processor time.") { nodes, shards, policy, warmUp, window, windows };
        return host.Add(command, Examples, context => RunAsync(
            context, context.Value(nodes), context.Value(shards), context.Value(policy) == "ap" ? PartitionPolicy.Ap : PartitionPolicy.Cp, context.Value(warmUp), context.Value(window), context.Value(windows)));
    }

    private static async Task<ExitCode> RunAsync(CommandContext context, int nodes, int shards, PartitionPolicy policy, TimeSpan warmUp, TimeSpan window, int windows)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new CliFailure(ExitCode.Failed, "'kv bench idle' runs on Linux and macOS; on Windows use WSL.");
        }

        var directory = Directory.CreateTempSubdirectory("kv-idle-").FullName;
        try
        {
            var place = new ClusterDirectory(directory);
            var plan = ClusterPlan.Settle(place, nodes, ConsecutivePorts.Find(nodes), engine: null);
            plan.Save(place);
            using var cluster = await LocalClusterProcesses.StartAsync(place, plan, faultInjection: false, detached: false, context.Stop);
            try
            {
                var quietAfter = await QuietAsync(context, cluster, shards, policy);
                context.Line(string.Create(CultureInfo.InvariantCulture, $"idle: {nodes} nodes, {shards} shards, quiet {quietAfter.TotalSeconds:0.0} s after their creation, then {Quantities.Describe(warmUp)} of rest"));
                await Task.Delay(warmUp, context.Stop);
                for (var number = 1; number <= windows; number++)
                {
                    var begin = IdleReading.Of(cluster);
                    await Task.Delay(window, context.Stop);
                    context.Line(IdleReading.Of(cluster).Describe(number, begin));
                }

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

    /// <summary>Creates the keyspace, waits until no replica has anything to do, and hangs up.</summary>
    private static async Task<TimeSpan> QuietAsync(CommandContext context, LocalClusterProcesses cluster, int shards, PartitionPolicy policy)
    {
        var options = new KvClientOptions { DefaultTimeout = context.Timeout };
        foreach (var node in cluster.Nodes)
        {
            options.Endpoints.Add(node.ToRunning().Address);
        }

        await using var client = context.Terminal.Connect(options);
        await client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = "idle", Policy = policy, Replication = Replication.Sync, Shards = shards }, context.Stop);
        var begin = TimeProvider.System.GetTimestamp();
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(500));
        while (!await AllQuietAsync(client, cluster, shards, context.Stop))
        {
            if (TimeProvider.System.GetElapsedTime(begin) > QuietDeadline)
            {
                throw new CliFailure(ExitCode.Failed, $"Not all replicas were quiet within {Quantities.Describe(QuietDeadline)}; is the machine overloaded?");
            }

            await look.WaitForNextTickAsync(context.Stop);
        }

        return TimeProvider.System.GetElapsedTime(begin);
    }

    private static async Task<bool> AllQuietAsync(IKvClient client, LocalClusterProcesses cluster, int shards, CancellationToken stop)
    {
        var quiet = 0;
        foreach (var node in cluster.Nodes)
        {
            var status = await client.Admin.NodeStatusAsync((uint)node.Node, replicas: true, stop);
            quiet += status.Replicas.Count(replica => replica.Quiet);
        }

        // The system shard has a replica on every node.
        return quiet >= cluster.Nodes.Count + (shards * Math.Min(3, cluster.Nodes.Count));
    }

    private static Option<int> Count(string name, string description, int usual, int most) => new(name)
    {
        Description = description,
        HelpName = "N",
        DefaultValueFactory = _ => usual,
        CustomParser = result => Quantities.ParseCount(result, 1, most),
    };

    private static Option<TimeSpan> Time(string name, string description, TimeSpan usual, TimeSpan least) => new(name)
    {
        Description = $"{description} Default: {Quantities.Describe(usual)}.",
        HelpName = "TIME",
        DefaultValueFactory = _ => usual,
        CustomParser = result => Quantities.ParseTime(result, least, TimeSpan.FromHours(1)),
    };
}
