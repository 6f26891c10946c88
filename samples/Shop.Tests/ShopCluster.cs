using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;
using Keyspaces = Shop.Hosting.Keyspaces;

namespace Shop.Tests;

/// <summary>Three nodes, and an instance of the shop in each of two data centres: Left has node 1, Right has nodes 2 and 3.</summary>
public sealed class ShopCluster : IAsyncLifetime
{
    private const int Shards = 8;
    private static readonly string[] All = [Keyspaces.Sessions, Keyspaces.Carts, Keyspaces.Keys];

    public KvTestCluster Cluster { get; private set; } = null!;

    internal ShopInstance Left { get; private set; } = null!;

    internal ShopInstance Right { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { Nodes = 3, InMemory = true, Http = true });
        Left = await ShopInstance.StartAsync(Cluster, beside: 1);
        foreach (string keyspace in All.Append(Keyspaces.Orders))
        {
            await Cluster.WaitUntilAsync($"the nodes serve {keyspace} everywhere", async () =>
                (await Cluster.ReplicasAsync(keyspace)) is { Count: Shards * 3 } replicas && replicas.All(replica => replica.Fenced.Length == 0 && replica.Leader != 0));
        }

        await SettleAsync();
        Right = await ShopInstance.StartAsync(Cluster, beside: 2);
        await SettleAsync();
    }

    /// <summary>Everybody knows what was written so far.</summary>
    public async Task SettleAsync()
    {
        foreach (string keyspace in All)
        {
            await Cluster.WaitUntilConvergedAsync(keyspace);
        }

        await Cluster.WaitUntilCaughtUpAsync(Keyspaces.Orders);
    }

    /// <summary>Cuts the data centres off from each other, and waits until both have noticed: the left one that it is alone, the right one that it has to lead.</summary>
    public async Task CutAsync()
    {
        await Cluster.PartitionAsync([1], [2, 3]);
        await Cluster.WaitUntilAsync("node 1 knows that it is alone", async () => (await Cluster.StatusAsync(1)).Peers.All(peer => peer.Reachability != Reachability.Up));
        await Cluster.WaitUntilAsync("the others lead every shard of the orders", async () =>
            (await Cluster.StatusAsync(2, replicas: true)).Replicas.Where(replica => replica.Keyspace == Keyspaces.Orders).All(replica => replica.Leader is 2 or 3));
    }

    public async Task HealAsync()
    {
        await Cluster.HealAsync();
        await Cluster.WaitUntilWholeAsync();
        await SettleAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (Right is not null)
        {
            await Right.DisposeAsync();
        }

        if (Left is not null)
        {
            await Left.DisposeAsync();
        }

        await Cluster.DisposeAsync();
    }
}
