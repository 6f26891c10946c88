using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace FirstTest;

public sealed class OrderTests
{
    [Fact]
    public async Task Orders_go_on_without_a_node()
    {
        await using KvTestCluster cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { Nodes = 3, InMemory = true });
        await cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync);
        IKvKeyspace orders = cluster.Client.Keyspace("orders");

        await orders.PutAsync("order/17", "paid");
        await cluster.IsolateAsync(1);
        await orders.PutAsync("order/18", "open");       // the majority goes on
        await cluster.HealAsync();

        KvEntry<string>? order = await orders.GetAsync<string>("order/18");
        Assert.Equal("open", order?.Value);
    }
}
