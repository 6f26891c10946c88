using KvStore.Cli.Faults;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Demo;

/// <summary>The cluster of a demo: real processes in a directory of their own, whose links can be cut, and a way to talk to each node alone.</summary>
internal sealed class DemoCluster : IAsyncDisposable
{
    private readonly LocalClusterProcesses _processes;
    private readonly IReadOnlyList<PinnedNode> _pinned;

    private DemoCluster(LocalClusterProcesses processes, IKvClient client)
    {
        _processes = processes;
        Client = client;
        _pinned = [.. processes.Nodes.Select(node => new PinnedNode((uint)node.Node, node.Endpoint))];
    }

    public IKvClient Client { get; }

    public IReadOnlyList<PinnedNode> Nodes => _pinned;

    /// <exception cref="CliFailure">The nodes did not come up.</exception>
    public static async Task<DemoCluster> StartAsync(CommandContext context, string directory, int nodes)
    {
        var place = new ClusterDirectory(directory);
        var plan = ClusterPlan.Settle(place, nodes, ConsecutivePorts.Find(nodes), engine: null);
        plan.Save(place);
        var processes = await LocalClusterProcesses.StartAsync(place, plan, faultInjection: true, detached: false, context.Stop);
        var options = new KvClientOptions { DefaultTimeout = context.Timeout };
        foreach (var node in processes.Nodes)
        {
            options.Endpoints.Add(node.ToRunning().Address);
        }

        return new DemoCluster(processes, context.Terminal.Connect(options));
    }

    public PinnedNode Node(uint node) => _pinned[(int)node - 1];

    /// <summary>Ends a node's process at once (SIGKILL).</summary>
    public void Kill(uint node) => _processes.Nodes[(int)node - 1].Kill();

    /// <summary>Starts a node that was killed again, on its data, and waits until it is healthy.</summary>
    public Task RestartAsync(uint node, CancellationToken stop) => _processes.RestartAsync((int)node, stop);

    /// <summary>Cuts all links between two groups of nodes, both ways.</summary>
    public async Task PartitionAsync(IReadOnlyCollection<uint> one, IReadOnlyCollection<uint> other, CancellationToken stop)
    {
        var plan = LinkFaultPlan.Between(one, other);
        await Task.WhenAll(plan.Nodes.Select(node => Client.Admin.SetFaultsAsync(node, plan.For(node, []), stop).AsTask()));
    }

    public Task HealAsync(CancellationToken stop) =>
        Task.WhenAll(_pinned.Select(node => Client.Admin.HealFaultsAsync(node.Node, stop).AsTask()));

    public async ValueTask DisposeAsync()
    {
        foreach (var node in _pinned)
        {
            node.Dispose();
        }

        await Client.DisposeAsync();
        await _processes.StopAsync();
        _processes.Dispose();
    }
}
