using System.Net;
using System.Net.Sockets;
using KvStore.Cli.Running;

namespace KvStore.Cli.LocalCluster;

/// <summary>The node processes of a local cluster that this process has started.</summary>
internal sealed class LocalClusterProcesses : IDisposable
{
    /// <summary>How long nodes may take to become healthy: a restart replays the log, and a laptop may be busy.</summary>
    public static readonly TimeSpan StartDeadline = TimeSpan.FromSeconds(60);

    /// <summary>How long nodes may take to end in good order before they are killed.</summary>
    public static readonly TimeSpan StopDeadline = TimeSpan.FromSeconds(15);

    private readonly List<NodeProcess> _nodes = [];
    private readonly Func<int, NodeProcess> _start;

    private LocalClusterProcesses(ClusterPlan plan, Func<int, NodeProcess> start) => (Plan, _start) = (plan, start);

    public ClusterPlan Plan { get; }

    public IReadOnlyList<NodeProcess> Nodes => _nodes;

    /// <summary>Starts all nodes and waits until they are healthy. If one fails, all are stopped again.</summary>
    /// <exception cref="CliFailure">A port is in use, or a node ended or did not become healthy in time.</exception>
    public static async Task<LocalClusterProcesses> StartAsync(
        ClusterDirectory directory, ClusterPlan plan, bool faultInjection, bool detached, CancellationToken stop)
    {
        for (var node = 1; node <= plan.Nodes; node++)
        {
            RequireFreePort(plan.PortOf(node), node, "--port and --data");
            if (plan.HttpPort is { } http)
            {
                RequireFreePort(http + node - 1, node, "--http-port (0: no HTTP)");
            }
        }

        var cluster = new LocalClusterProcesses(plan, node => NodeProcess.Start(directory, plan, node, faultInjection, detached));
        try
        {
            for (var node = 1; node <= plan.Nodes; node++)
            {
                cluster._nodes.Add(cluster._start(node));
            }

            new RunningCluster(detached, DateTimeOffset.UtcNow, [.. cluster._nodes.Select(node => node.ToRunning())]).Save(directory);
            await Task.WhenAll(cluster._nodes.Select(node => HealthProbe.WaitAsync(node, StartDeadline, stop)));
            return cluster;
        }
        catch
        {
            await cluster.StopAsync();
            RunningCluster.Forget(directory);
            cluster.Dispose();
            throw;
        }
    }

    /// <summary>Starts a node that has ended again, on its data, and waits until it is healthy.</summary>
    /// <exception cref="CliFailure">It ended or did not become healthy in time.</exception>
    public async Task RestartAsync(int node, CancellationToken stop)
    {
        await _nodes[node - 1].WaitForExitAsync(stop);
        _nodes[node - 1].Dispose();
        _nodes[node - 1] = _start(node);
        await HealthProbe.WaitAsync(_nodes[node - 1], StartDeadline, stop);
    }

    /// <summary>Stays until the token is cancelled or the last node has ended; tells of every node that ends by itself.</summary>
    /// <returns>Whether it was the token.</returns>
    public async Task<bool> StayAsync(Action<NodeProcess> nodeEnded, CancellationToken stop)
    {
        var waiting = _nodes.ToDictionary(node => node.WaitForExitAsync(stop), node => node);
        while (waiting.Count > 0)
        {
            var ended = await Task.WhenAny(waiting.Keys);
            if (stop.IsCancellationRequested)
            {
                return true;
            }

            nodeEnded(waiting[ended]);
            waiting.Remove(ended);
        }

        return false;
    }

    /// <summary>Stops all nodes in good order, and those that don't listen by force.</summary>
    public async Task StopAsync()
    {
        foreach (var node in _nodes)
        {
            node.Stop();
        }

        using var deadline = new CancellationTokenSource(StopDeadline);
        foreach (var node in _nodes)
        {
            try
            {
                await node.WaitForExitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                node.Kill();
            }
        }
    }

    public void Dispose() => _nodes.ForEach(node => node.Dispose());

    private static void RequireFreePort(int port, int node, string option)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            socket.Listen();
        }
        catch (SocketException)
        {
            throw new CliFailure(
                ExitCode.Unavailable,
                $"Port {port}, which node {node} needs, is in use by another process; stop that one, or start a cluster elsewhere with {option}.");
        }
    }
}
