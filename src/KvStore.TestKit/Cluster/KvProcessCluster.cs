using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.TestKit;

/// <summary>
/// A real cluster of real processes, which a test can kill with SIGKILL and pause with SIGSTOP. For what <see cref="KvTestCluster"/> can't show: its nodes share one process. Linux and macOS.
/// </summary>
/// <example><code>
/// await using var cluster = await KvProcessCluster.StartAsync(nodes: 3);
/// await cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync);
/// await cluster.KillAsync(1);
/// await cluster.RestartAsync(1);
/// </code></example>
public sealed class KvProcessCluster : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly SortedDictionary<uint, KvProcessNode> _nodes = [];
    private readonly string _directory = Directory.CreateTempSubdirectory("kvstore-processes-").FullName;

    private KvProcessCluster()
    {
    }

    /// <summary>A client that knows all nodes, as an application would have it.</summary>
    public IKvClient Client { get; private set; } = null!;

    /// <summary>The nodes in the order of their ids, which count up from 1; killed ones too.</summary>
    public IReadOnlyCollection<KvProcessNode> Nodes => _nodes.Values;

    /// <summary>Starts a cluster with the timeouts of production and waits until all nodes answer and have a leader for their system shard.</summary>
    /// <param name="nodes">How many, 1 to 9.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="TimeoutException">It was not up in time; the message has the last lines of the nodes' logs.</exception>
    public static async Task<KvProcessCluster> StartAsync(int nodes = 3, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(nodes, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(nodes, 9);
        var cluster = new KvProcessCluster();
        try
        {
            string[] members = [.. FreePorts.Take(nodes).Select((port, index) => $"{index + 1}=127.0.0.1:{port}")];
            for (uint id = 1; id <= nodes; id++)
            {
                var node = new KvProcessNode(id, members, cluster._directory);
                cluster._nodes.Add(id, node);
                await node.StartAsync(cancellationToken);
            }

            cluster.Client = KvClient.Create(cluster._nodes.Values.Select(node => node.Endpoint));
            await Task.WhenAll(cluster._nodes.Keys.Select(id => cluster.WaitUntilServingAsync(id, cancellationToken)));
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>The node with this id.</summary>
    public KvProcessNode Node(uint id) => _nodes.TryGetValue(id, out KvProcessNode? node)
        ? node
        : throw new ArgumentOutOfRangeException(nameof(id), id, $"The cluster has nodes 1 to {_nodes.Count}.");

    /// <summary>Talks to this node and no other.</summary>
    public KvNodeClient ClientOf(uint id) => Node(id).Client;

    /// <summary>Creates a keyspace and waits until every node takes a write to it.</summary>
    public async Task CreateKeyspaceAsync(string name, PartitionPolicy policy, Replication replication, int shards = 2, CancellationToken cancellationToken = default)
    {
        await Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Policy = policy, Replication = replication, Shards = shards }, cancellationToken);
        await WaitUntilAsync(
            $"every shard of '{name}' has a leader and all replicas serve",
            async () =>
            {
                IReadOnlyList<ReplicaStatus> replicas = await ReplicasAsync(name, cancellationToken);
                return replicas.Count == shards * Math.Min(3, _nodes.Count) && replicas.All(replica => replica.Leader != 0 && replica.Fenced.Length == 0);
            },
            cancellationToken);
    }

    /// <summary>kill -9, and waits until the process has ended.</summary>
    public Task KillAsync(uint id) => Node(id).KillAsync();

    /// <summary>SIGSTOP: the process stands still until <see cref="Resume"/>; its connections stay.</summary>
    public void Pause(uint id) => Node(id).Pause();

    /// <summary>SIGCONT.</summary>
    public void Resume(uint id) => Node(id).Resume();

    /// <summary>Starts a killed node again, on its old address and data, and waits until it serves.</summary>
    public async Task RestartAsync(uint id, CancellationToken cancellationToken = default)
    {
        await Node(id).StartAsync(cancellationToken);
        await WaitUntilServingAsync(id, cancellationToken);
    }

    /// <summary>
    /// Deletes the data of a killed node and starts a new one in its place, under the same id and address. Its shards take it in by themselves, and it copies what the others have.
    /// </summary>
    public async Task ReplaceAsync(uint id, CancellationToken cancellationToken = default)
    {
        await WaitUntilAsync(
            $"no node hears node {id} any more",
            async () =>
            {
                foreach (KvProcessNode node in _nodes.Values.Where(node => node.IsRunning))
                {
                    NodeStatusResponse status = await Client.Admin.NodeStatusAsync(node.Id, replicas: false, cancellationToken);
                    if (status.Peers.Any(peer => peer.Node == id && peer.Reachability == Reachability.Up))
                    {
                        return false;
                    }
                }

                return true;
            },
            cancellationToken);
        Node(id).Wipe((await Client.Admin.ReplaceNodeAsync(id, cancellationToken)).Generation);
        await RestartAsync(id, cancellationToken);
    }

    /// <summary>All replicas of a keyspace on running nodes, as each node describes its own.</summary>
    public async Task<IReadOnlyList<ReplicaStatus>> ReplicasAsync(string keyspace, CancellationToken cancellationToken = default)
    {
        var all = new List<ReplicaStatus>();
        foreach (KvProcessNode node in _nodes.Values.Where(node => node.IsRunning))
        {
            NodeStatusResponse status = await Client.Admin.NodeStatusAsync(node.Id, replicas: true, cancellationToken);
            all.AddRange(status.Replicas.Where(replica => replica.Keyspace == keyspace));
        }

        return all;
    }

    /// <summary>Waits for a condition by looking again and again, up to a minute.</summary>
    /// <exception cref="TimeoutException">It did not come true; the message has the last lines of the nodes' logs.</exception>
    public Task WaitUntilAsync(string condition, Func<Task<bool>> holds, CancellationToken cancellationToken = default) =>
        Waiting.UntilAsync(condition, holds, Deadline, () => Task.FromResult(DescribeLogs()), cancellationToken);

    /// <summary>The last lines of every node's log.</summary>
    public string DescribeLogs() => string.Join(Environment.NewLine, _nodes.Values.Select(node => node.DescribeLog()));

    /// <summary>Kills what still runs and deletes the data.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Client is not null)
        {
            await Client.DisposeAsync();
        }

        foreach (KvProcessNode node in _nodes.Values)
        {
            await node.DisposeAsync();
        }

        Directory.Delete(_directory, recursive: true);
    }

    private Task WaitUntilServingAsync(uint id, CancellationToken cancellation) =>
        WaitUntilAsync(
            $"node {id} answers, hears its peers and knows the leader of the system shard",
            async () =>
            {
                NodeStatusResponse status = await Client.Admin.NodeStatusAsync(id, cancellationToken: cancellation);
                return status.SystemLeader != 0 && status.Peers.All(peer => peer.Reachability == Reachability.Up && peer.HearsUs);
            },
            cancellation);
}
