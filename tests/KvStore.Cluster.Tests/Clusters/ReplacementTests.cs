using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>A node whose data is lost is replaced by a new one under the same id, with new replica ids, while the cluster serves (scenarios 32, 35, 37).</summary>
public sealed class ReplacementTests(ITestOutputHelper output)
{
    private const uint Lost = 3;

    private readonly RecentLines _log = new();

    [Fact]
    public async Task Scenario_32_a_lost_node_is_replaced_and_its_successor_carries_the_majority_alone_with_one_other()
    {
        await using KvTestCluster cluster = await StartAsync();
        await FillAsync(cluster);
        await cluster.KillAsync(Lost);
        foreach (string name in Names)
        {
            await cluster.Client.Keyspace(name).PutAsync("meanwhile", "written by two");
        }

        await cluster.ReplaceAsync(Lost);
        await WaitUntilVotesAsync(cluster);
        await cluster.WaitUntilConvergedAsync("open");

        // From here on every majority needs the successor.
        await cluster.KillAsync(1);
        foreach (string name in Names)
        {
            IKvKeyspace keyspace = cluster.Client.Keyspace(name);
            for (int i = 0; i < 50; i++)
            {
                (await keyspace.GetAsync<string>($"key-{i}"))!.Value.Should().Be($"value-{i}");
            }

            (await keyspace.GetAsync<string>("meanwhile"))!.Value.Should().Be("written by two");
            await keyspace.PutAsync("after", "written with the successor");
            (await keyspace.GetAsync<string>("after"))!.Value.Should().Be("written with the successor");
        }
    }

    [Fact]
    public async Task Scenario_37_a_node_that_was_replaced_is_refused_when_it_returns_with_its_old_data()
    {
        await using KvTestCluster cluster = await StartAsync();
        await FillAsync(cluster);
        await cluster.StopAsync(Lost);
        await cluster.WaitUntilAsync(
            "node 1 misses it", async () => (await cluster.StatusAsync(1)).Peers.Single(peer => peer.Node == Lost).Reachability != Reachability.Up);
        await cluster.WaitUntilAsync(
            "node 2 misses it", async () => (await cluster.StatusAsync(2)).Peers.Single(peer => peer.Node == Lost).Reachability != Reachability.Up);
        (await cluster.Client.Admin.ReplaceNodeAsync(Lost)).Generation.Should().Be(1);

        await cluster.RestartAsync(Lost);

        await cluster.WaitUntilAsync(
            "the old node is refused",
            () => Task.FromResult(_log.ToString().Contains($"Node {Lost} was replaced: generation 1 has its place, and this is generation 0", StringComparison.Ordinal)));
        NodeStatusResponse status = await cluster.StatusAsync(1);
        status.Peers.Single(peer => peer.Node == Lost).Reachability.Should().NotBe(Reachability.Up);
        await cluster.Client.Keyspace("ordered").PutAsync("k", "v");
    }

    [Fact]
    public async Task A_node_that_is_up_is_not_replaced_and_a_repeated_call_makes_no_further_generation()
    {
        await using KvTestCluster cluster = await StartAsync();
        Func<Task> tooEarly = async () => await cluster.Client.Admin.ReplaceNodeAsync(Lost);
        (await tooEarly.Should().ThrowAsync<KvException>()).WithMessage("*Node 3 is up, as node * hears it*");

        Func<Task> stranger = async () => await cluster.Client.Admin.ReplaceNodeAsync(9);
        await stranger.Should().ThrowAsync<ArgumentException>();
    }

    private static readonly string[] Names = ["ordered", "open"];

    private async Task<KvTestCluster> StartAsync()
    {
        KvTestCluster cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { Log = _log.Add });
        await cluster.CreateKeyspaceAsync("ordered", PartitionPolicy.Cp, Replication.Sync, shards: 2);
        await cluster.CreateKeyspaceAsync("open", PartitionPolicy.Ap, Replication.Sync, shards: 2);
        return cluster;
    }

    private static async Task FillAsync(KvTestCluster cluster)
    {
        foreach (string name in Names)
        {
            IKvKeyspace keyspace = cluster.Client.Keyspace(name);
            for (int i = 0; i < 50; i++)
            {
                await keyspace.PutAsync($"key-{i}", $"value-{i}");
            }
        }
    }

    /// <summary>In every shard, the system's included, the successor votes and nobody else is left over.</summary>
    private async Task WaitUntilVotesAsync(KvTestCluster cluster)
    {
        long begin = TimeProvider.System.GetTimestamp();
        await cluster.WaitUntilAsync("the successor votes in every shard", async () =>
        {
            List<ReplicaStatus> leaders = [];
            for (uint node = 1; node <= 3; node++)
            {
                leaders.AddRange((await cluster.StatusAsync(node, replicas: true)).Replicas.Where(replica => replica.Role == "leader"));
            }

            return leaders.Select(replica => (replica.KeyspaceId, replica.Shard)).Distinct().Count() == 5
                && leaders.All(replica => replica.Members.Count == 3 && replica.Members.All(member => member.Voter)
                    && replica.Members.Single(member => member.Node == Lost).ReplicaId != (replica.KeyspaceId == 0 ? Lost : 0));
        });
        output.WriteLine($"the successor votes everywhere after {TimeProvider.System.GetElapsedTime(begin).TotalMilliseconds:0} ms");
    }
}
