using System.CommandLine;
using KvStore.Cli.Output;
using KvStore.Cli.Running;

namespace KvStore.Cli.LocalCluster;

/// <summary><c>kv up</c>: a cluster of real node processes on this machine.</summary>
internal static class UpCommand
{
    private const string Examples =
        """
        kv up                                   three nodes on ports 7001 to 7003, until Ctrl-C
        kv up --background                      the same, and return; 'kv down' stops it
        kv up --nodes 5 --port 8001 --data /tmp/five --enable-fault-injection
        """;

    public static Command Create(CommandHost host)
    {
        var nodes = new Option<int?>("--nodes")
        {
            Description = $"How many nodes, 1 to {ClusterPlan.MaxNodes}. Default: {ClusterPlan.DefaultNodes}, or as many as the data directory holds.",
            HelpName = "N",
            CustomParser = result => Quantities.ParseCount(result, 1, ClusterPlan.MaxNodes),
        };
        var data = DataOption();
        var port = new Option<int?>("--port")
        {
            Description = $"The port of the first node; the others follow. Default: {ClusterPlan.DefaultPort}.",
            HelpName = "PORT",
            CustomParser = result => Quantities.ParseCount(result, 1, 65_535 - ClusterPlan.MaxNodes),
        };
        var httpPort = new Option<int?>("--http-port")
        {
            Description = $"The first node's port for HTTP/1.1 (REST, health, metrics); the others follow. 0: none. Default: the first port plus {ClusterPlan.HttpOffset}.",
            HelpName = "PORT",
            CustomParser = result => Quantities.ParseCount(result, 0, 65_535 - ClusterPlan.MaxNodes),
        };
        var engine = new Option<string?>("--engine") { Description = "rocksdb (default) or memory; with memory nothing survives a stop." };
        engine.AcceptOnlyFromAmong("rocksdb", "memory");
        var background = new Option<bool>("--background") { Description = "Return once the cluster is healthy; 'kv down' stops it." };
        var faults = new Option<bool>("--enable-fault-injection") { Description = "Let 'kv fault' cut the links between the nodes." };
        var command = new Command("up", "Start a local cluster of real nodes; starting it again finds its data.") { nodes, data, port, httpPort, background, faults, engine };
        return host.Add(command, Examples, context => RunAsync(
            context,
            new ClusterDirectory(context.Value(data)!),
            context.Value(nodes),
            context.Value(port),
            context.Value(httpPort),
            context.Value(engine),
            context.Value(faults),
            context.Value(background)));
    }

    public static Option<string> DataOption() => new("--data")
    {
        Description = "The cluster's directory, relative to the working directory.",
        HelpName = "DIR",
        DefaultValueFactory = _ => ClusterDirectory.Default,
    };

    private static async Task<ExitCode> RunAsync(
        CommandContext context, ClusterDirectory directory, int? nodes, int? port, int? httpPort, string? engine, bool faults, bool background)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new CliFailure(ExitCode.Failed, "'kv up' runs on Linux and macOS; on Windows use WSL or the container images.");
        }

        if (RunningCluster.Load(directory) is { } running)
        {
            throw new CliFailure(
                ExitCode.Failed,
                $"The cluster of {directory.Root} is already running ({string.Join(", ", running.Nodes.Select(node => node.Address))}); use it, or stop it with '{Down(directory)}'.");
        }

        var plan = ClusterPlan.Settle(directory, nodes, port, engine);
        int http = httpPort ?? plan.Port + ClusterPlan.HttpOffset;
        plan = plan with { HttpPort = http is > 0 and <= 65_535 - ClusterPlan.MaxNodes ? http : null };
        context.Note($"Starting {plan.Nodes} node{(plan.Nodes == 1 ? "" : "s")} with data in {directory.Root} ...");
        plan.Save(directory);
        using var cluster = await LocalClusterProcesses.StartAsync(directory, plan, faults, background, context.Stop);
        Describe(context, directory, cluster, background);
        if (background)
        {
            return ExitCode.Ok;
        }

        try
        {
            var asked = await cluster.StayAsync(node => context.Complain(node.DescribeExit()), context.Stop);
            if (!asked)
            {
                throw new CliFailure(ExitCode.Failed, $"All nodes have ended; see their logs in {Path.GetDirectoryName(directory.NodeLog(1))}.");
            }

            context.Note("Stopping ...");
            return ExitCode.Ok;
        }
        finally
        {
            await cluster.StopAsync();
            RunningCluster.Forget(directory);
        }
    }

    private static void Describe(CommandContext context, ClusterDirectory directory, LocalClusterProcesses cluster, bool background)
    {
        var table = new TextTable("node", "address", "pid", "log");
        foreach (var node in cluster.Nodes)
        {
            table.Add($"{node.Node}", node.ToRunning().Address, $"{node.Pid}", Path.GetRelativePath(Environment.CurrentDirectory, node.LogFile));
        }

        context.Write(table);
        if (!directory.IsDefault)
        {
            context.Line($"For other terminals: export {Endpoints.Variable}={string.Join(',', cluster.Nodes.Select(node => node.ToRunning().Address))}");
        }

        context.Line("The cluster is up. Try:");
        context.Line("  kv keyspace create orders --policy cp --replication sync");
        context.Line("  kv put hello world -k orders && kv get hello -k orders");
        if (cluster.Plan.HttpAddressOf(1) is { } rest)
        {
            context.Line($"  curl -X PUT --data-binary world http://{rest}/v1/keyspaces/orders/keys/hello && curl -i http://{rest}/v1/keyspaces/orders/keys/hello");
        }

        context.Line(background ? $"Stop it with: {Down(directory)}" : "Ctrl-C stops it.");
        context.Terminal.Out.Flush();
    }

    private static string Down(ClusterDirectory directory) => directory.IsDefault ? "kv down" : $"kv down --data {directory.Root}";
}
