using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>A new keyspace is there for its creator on every node at once.</summary>
[Collection(ClusterCollection.Name)]
public sealed class CatalogSpreadTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Every_node_has_its_replicas_when_the_creator_is_told()
    {
        for (int i = 0; i < 20; i++)
        {
            string name = nodes.NewName("spread");
            await _cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Policy = PartitionPolicy.Ap, Shards = 2 });
            foreach (uint node in (uint[])[1, 2, 3])
            {
                (await HeldOnAsync(node, name)).Should().Be(2, "node {0} is told of '{1}' before its creator is", node, name);
            }
        }
    }

    [Fact]
    public async Task The_creator_does_not_wait_for_a_node_that_is_cut_off()
    {
        await _cluster.PartitionAsync([1, 2], [3]);
        string name = nodes.NewName("without");
        await _cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Policy = PartitionPolicy.Ap, Shards = 2 });
        (await HeldOnAsync(3, name)).Should().Be(0, "it can't have heard of it");

        await _cluster.HealAsync();
        await _cluster.WaitUntilAsync("it has heard of it", async () => await HeldOnAsync(3, name) == 2);
    }

    private async Task<int> HeldOnAsync(uint node, string keyspace) =>
        (await _cluster.StatusAsync(node, replicas: true)).Replicas.Count(replica => replica.Keyspace == keyspace);
}
