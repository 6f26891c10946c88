using System.CommandLine;
using KvStore.Cli.Running;

namespace KvStore.Cli.LocalCluster;

/// <summary><c>kv down</c>: stops the nodes that <c>kv up</c> started. The data stays.</summary>
internal static class DownCommand
{
    private const string Examples =
        """
        kv down                     stop the cluster of this directory; its data stays
        kv down --data /tmp/five    stop the cluster that was started with the same --data
        """;

    public static Command Create(CommandHost host)
    {
        var data = UpCommand.DataOption();
        var command = new Command("down", "Stop the local cluster; its data stays.") { data };
        return host.Add(command, Examples, context => RunAsync(context, new ClusterDirectory(context.Value(data)!)));
    }

    private static async Task<ExitCode> RunAsync(CommandContext context, ClusterDirectory directory)
    {
        if (RunningCluster.Load(directory) is not { } running)
        {
            RunningCluster.Forget(directory);
            context.Line($"No local cluster is running in {directory.Root}; nothing to stop.");
            return ExitCode.Ok;
        }

        foreach (var node in running.Nodes)
        {
            Signals.Terminate(node.Pid);
        }

        var left = await WaitAsync(running.Nodes, LocalClusterProcesses.StopDeadline, context.Stop);
        foreach (var node in left)
        {
            context.Complain($"Node {node.Node} (pid {node.Pid}) did not end within {Quantities.Describe(LocalClusterProcesses.StopDeadline)} and was killed; its data is safe.");
            Signals.Kill(node.Pid);
        }

        RunningCluster.Forget(directory);
        context.Line($"Stopped {running.Nodes.Count} node{(running.Nodes.Count == 1 ? "" : "s")}; the data stays in {directory.Root}.");
        return ExitCode.Ok;
    }

    /// <summary>Waits until the processes have ended; returns those that have not by the deadline. They are no children of this process, so it has to look.</summary>
    private static async Task<IReadOnlyList<RunningNode>> WaitAsync(IReadOnlyList<RunningNode> nodes, TimeSpan deadline, CancellationToken stop)
    {
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        var begin = TimeProvider.System.GetTimestamp();
        var left = nodes;
        do
        {
            left = [.. left.Where(node => node.IsAlive)];
        }
        while (left.Count > 0 && TimeProvider.System.GetElapsedTime(begin) < deadline && await look.WaitForNextTickAsync(stop));

        return left;
    }
}
