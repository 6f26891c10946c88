using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cluster.Tests.Client;

/// <summary>Scripted peers that tell the same topology: one keyspace "ks", every node a replica of every shard, led by <c>leader</c>.</summary>
internal sealed class FakeCluster : IAsyncDisposable
{
    private FakeCluster(FakeNode[] nodes) => Nodes = nodes;

    public FakeNode[] Nodes { get; }

    public IEnumerable<Received> Received => Nodes.SelectMany(n => n.Received);

    public static async Task<FakeCluster> StartAsync(int nodes = 3, int shards = 1, PartitionPolicy policy = PartitionPolicy.Cp, uint leader = 1)
    {
        FakeCluster cluster = new([.. Enumerable.Range(1, nodes).Select(i => new FakeNode((uint)i))]);
        foreach (FakeNode node in cluster.Nodes)
        {
            await node.StartAsync();
        }

        Topology topology = new() { ClusterId = "fake", Revision = 1, CatalogRead = true };
        topology.Members.AddRange(cluster.Nodes.Select(n => new Member { Node = n.Id, Address = n.Address, Weight = 1 }));
        Keyspace keyspace = new() { Id = 7, Name = "ks", Policy = policy, Replication = Replication.Sync, Epoch = 3 };
        for (int i = 0; i < shards; i++)
        {
            Shard shard = new() { LeaderHint = leader };
            shard.Replicas.AddRange(cluster.Nodes.Select(n => new Replica { Node = n.Id, ReplicaId = n.Id }));
            keyspace.Shards.Add(shard);
        }

        topology.Keyspaces.Add(keyspace);
        foreach (FakeNode node in cluster.Nodes)
        {
            node.Topology.SetResult(topology);
        }

        return cluster;
    }

    /// <summary>A client whose connections to all nodes stand.</summary>
    public async Task<KvClient> ConnectAsync(Action<KvClientOptions>? configure = null)
    {
        KvClientOptions options = new();
        foreach (FakeNode node in Nodes)
        {
            options.Endpoints.Add($"http://{node.Address}");
        }

        configure?.Invoke(options);
        KvClient client = KvClient.Create(options);
        await client.GetTopologyAsync();
        using CancellationTokenSource patience = new(TimeSpan.FromSeconds(30));
        using PeriodicTimer look = new(TimeSpan.FromMilliseconds(2));
        while (client.Connections.All.ToArray().Any(c => !c.IsOpen))
        {
            await look.WaitForNextTickAsync(patience.Token);
        }

        return client;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (FakeNode node in Nodes)
        {
            await node.DisposeAsync();
        }
    }
}
