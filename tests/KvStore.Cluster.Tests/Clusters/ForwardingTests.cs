using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Five nodes, three replicas of each shard: most nodes have no replica of most keys.</summary>
[Collection(ClusterCollection.Name)]
public sealed class ForwardingTests(FiveNodes nodes, ITestOutputHelper output) : IClassFixture<FiveNodes>, IAsyncLifetime
{
    private const int Keys = 40;

    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(PartitionPolicy.Cp)]
    [InlineData(PartitionPolicy.Ap)]
    public async Task Every_node_serves_every_key_wherever_its_shard_lives(PartitionPolicy policy)
    {
        string name = nodes.NewName("forwarded");
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync, shards: 8);
        (await _cluster.ReplicasAsync(name)).Should().HaveCount(8 * 3, "not every node has every shard");
        foreach (KvTestNode node in _cluster.Nodes)
        {
            for (int key = 0; key < Keys; key++)
            {
                KvNodeAnswer put = await node.Client.PutAsync(name, $"n{node.Id}-{key}", "v");
                put.IsDone.Should().BeTrue($"node {node.Id} puts key {key}: {put.Reason}");
            }
        }

        // Eventual reads may come from a replica that lags a little.
        ReadLevel level = policy == PartitionPolicy.Cp ? ReadLevel.Linearizable : ReadLevel.Quorum;
        foreach (KvTestNode node in _cluster.Nodes)
        {
            foreach (KvTestNode writer in _cluster.Nodes)
            {
                for (int key = 0; key < Keys; key++)
                {
                    KvNodeAnswer read = await node.Client.GetAsync(name, $"n{writer.Id}-{key}", level);
                    read.Value.Should().Be("v", $"node {node.Id} reads n{writer.Id}-{key}: {read.Code} {read.Reason}");
                }
            }
        }
    }

    [Fact]
    public async Task Without_one_node_the_others_still_serve_every_key()
    {
        string name = nodes.NewName("without");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 8);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        await _cluster.PartitionAsync([5], [1, 2, 3, 4]);
        foreach (KvTestNode node in _cluster.Nodes.Where(node => node.Id != 5))
        {
            for (int key = 0; key < Keys; key++)
            {
                string text = $"key-{key}";
                await _cluster.WaitUntilAsync($"node {node.Id} serves {text}", async () => (await node.Client.PutAsync(name, text, $"by {node.Id}")).IsDone);
                (await keyspace.GetAsync<string>(text))!.Value.Should().Be($"by {node.Id}");
            }
        }
    }
}
