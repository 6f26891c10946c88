using System.Globalization;
using KvStore.Cli.LocalCluster;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench.Rig;

/// <summary>The cluster of one measurement: node processes on data of their own, and a client. Both are gone afterwards, and so is the data.</summary>
internal sealed class OwnCluster : IAsyncDisposable
{
    private static readonly TimeSpan ScrapeDeadline = TimeSpan.FromSeconds(10);

    private readonly ClusterDirectory _place;
    private readonly LocalClusterProcesses _processes;
    private readonly HttpClient _http = new() { Timeout = ScrapeDeadline };
    private readonly CommandContext _context;

    private OwnCluster(ClusterDirectory place, LocalClusterProcesses processes, CommandContext context)
    {
        (_place, _processes, _context) = (place, processes, context);
        Client = Connect();
    }

    public IKvClient Client { get; }

    public IReadOnlyList<NodeProcess> Nodes => _processes.Nodes;

    /// <summary>Starts nodes with default settings, and with metrics over HTTP.</summary>
    /// <param name="context">The command.</param>
    /// <param name="command">Its name.</param>
    /// <param name="nodes">How many.</param>
    /// <param name="flags">Further flags of each node.</param>
    /// <exception cref="CliFailure">They did not come up, or this is Windows.</exception>
    public static async Task<OwnCluster> StartAsync(CommandContext context, string command, int nodes, params string[] flags)
    {
        if (OperatingSystem.IsWindows())
        {
            throw new CliFailure(ExitCode.Failed, $"'kv bench {command}' runs on Linux and macOS; on Windows use WSL.");
        }

        var place = new ClusterDirectory(Directory.CreateTempSubdirectory($"kv-{command}-").FullName);
        try
        {
            var port = ConsecutivePorts.Find(2 * nodes);
            var plan = ClusterPlan.Settle(place, nodes, port, engine: null) with { HttpPort = port + nodes, Flags = flags };
            plan.Save(place);
            return new OwnCluster(place, await LocalClusterProcesses.StartAsync(place, plan, faultInjection: false, detached: false, context.Stop), context);
        }
        catch
        {
            Directory.Delete(place.Root, recursive: true);
            throw;
        }
    }

    /// <summary>Another client of the cluster.</summary>
    public IKvClient Connect()
    {
        var options = new KvClientOptions { DefaultTimeout = _context.Timeout };
        foreach (var node in Nodes)
        {
            options.Endpoints.Add(node.ToRunning().Address);
        }

        return _context.Terminal.Connect(options);
    }

    /// <summary>Creates a keyspace and waits until every shard of it is led. The cluster may still be electing the leader that decides on keyspaces: then this tries again.</summary>
    /// <exception cref="CliFailure">It is not there and led in time.</exception>
    public async Task CreateAsync(KvKeyspaceSettings settings, CancellationToken stop)
    {
        var shards = settings.Shards == 0 ? KvLimits.DefaultShards : settings.Shards;
        var begin = TimeProvider.System.GetTimestamp();
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(100));
        while (!await TryCreateAsync(settings, shards, stop))
        {
            if (TimeProvider.System.GetElapsedTime(begin) > LocalClusterProcesses.StartDeadline)
            {
                throw new CliFailure(ExitCode.Failed, $"The keyspace {settings.Name} was not ready within {Quantities.Describe(LocalClusterProcesses.StartDeadline)}; is the machine overloaded?");
            }

            await timer.WaitForNextTickAsync(stop);
        }
    }

    public NodeReading[] Read() => [.. Nodes.Select(NodeReading.Of)];

    /// <summary>The processor time of all nodes so far.</summary>
    public TimeSpan Used() => Read().Aggregate(TimeSpan.Zero, (sum, node) => sum + node.Used);

    public long ResidentBytes() => Read().Sum(node => node.ResidentBytes);

    /// <summary>Bytes of all files in a node's data directory.</summary>
    public long DiskBytes(NodeProcess node)
    {
        long sum = 0;
        foreach (var file in Directory.EnumerateFiles(_place.NodeData(node.Node), "*", SearchOption.AllDirectories))
        {
            try
            {
                sum += new FileInfo(file).Length;
            }
            catch (FileNotFoundException)
            {
                // Compacted away meanwhile.
            }
        }

        return sum;
    }

    /// <summary>Bytes of the managed heap as of the last collection, as the node itself tells; null if it does not answer.</summary>
    public async Task<long?> HeapBytesAsync(NodeProcess node, CancellationToken stop)
    {
        const string Name = "dotnet_gc_last_collection_heap_size_bytes{";
        try
        {
            var text = await _http.GetStringAsync($"http://{_processes.Plan.HttpAddressOf(node.Node)}/metrics", stop);
            double[] generations = [.. text.Split('\n').Where(line => line.StartsWith(Name, StringComparison.Ordinal)).Select(line => double.Parse(line.Split(' ')[1], CultureInfo.InvariantCulture))];
            return generations.Length == 0 ? null : (long)generations.Sum();
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    /// <summary>Every replica of every keyspace, as its node tells.</summary>
    public async Task<List<ReplicaStatus>> ReplicasAsync(CancellationToken stop)
    {
        var all = new List<ReplicaStatus>();
        foreach (var node in Nodes)
        {
            all.AddRange((await Client.Admin.NodeStatusAsync((uint)node.Node, replicas: true, stop)).Replicas);
        }

        return all;
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await Client.DisposeAsync();
        await _processes.StopAsync();
        _processes.Dispose();
        Directory.Delete(_place.Root, recursive: true);
    }

    private async Task<bool> TryCreateAsync(KvKeyspaceSettings settings, int shards, CancellationToken stop)
    {
        try
        {
            await Client.Admin.CreateKeyspaceAsync(settings, stop);
            return (await ReplicasAsync(stop)).Count(replica => replica.Keyspace == settings.Name && replica.Role == "leader") >= shards;
        }
        catch (KvException exception) when (exception.Code is KvCode.NoLeader or KvCode.NoQuorum or KvCode.LeadershipLost or KvCode.Unavailable or KvCode.DeadlineExceeded)
        {
            return false;
        }
    }
}
