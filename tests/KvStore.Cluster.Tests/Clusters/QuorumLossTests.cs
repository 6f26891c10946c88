using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Two of three nodes are lost for good (scenario 40).</summary>
public sealed class QuorumLossTests
{
    private readonly RecentLines _log = new();

    [Fact]
    public async Task Scenario_40_a_node_that_lost_all_others_for_good_is_started_without_them_says_so_and_takes_a_successor_in()
    {
        await using KvTestCluster cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { Log = _log.Add });
        await cluster.CreateKeyspaceAsync("ordered", PartitionPolicy.Cp, Replication.Sync, shards: 2);
        IKvKeyspace keyspace = cluster.Client.Keyspace("ordered");
        for (int i = 0; i < 20; i++)
        {
            await keyspace.PutAsync($"key-{i}", $"value-{i}");
        }

        await cluster.WaitUntilCaughtUpAsync("ordered");
        foreach (uint node in (uint[])[1, 2, 3])
        {
            await cluster.KillAsync(node);
        }

        await cluster.RecoverAsync(1, lost: [2, 3]);
        await cluster.WaitUntilAsync("both shards are led", async () => (await cluster.ReplicasAsync("ordered")) is { Count: 2 } replicas && replicas.All(replica => replica.Role == "leader"));
        for (int i = 0; i < 20; i++)
        {
            (await keyspace.GetAsync<string>($"key-{i}"))!.Value.Should().Be($"value-{i}");
        }

        await keyspace.PutAsync("alone", "written by one");
        _log.ToString().Should().Contain("UNSAFE RECOVERY, replica s0.0").And.NotContain("not done");
        string journal = Path.Combine(cluster.Node(1).DataDirectory, "log", "unsafe-recoveries.log");
        await cluster.WaitUntilAsync("three shards are in the journal", () => Task.FromResult(File.Exists(journal) && File.ReadLines(journal).Count(line => line.Contains("members were", StringComparison.Ordinal)) == 3));

        await cluster.ReplaceAsync(2);
        await cluster.WaitUntilAsync(
            "the successor votes",
            async () => (await cluster.StatusAsync(1, replicas: true)).Replicas is var replicas && replicas.All(replica => replica.Members.Count(member => member.Voter) == 2));
        await keyspace.PutAsync("alone", "written by two");

        // Started once more with the same flag, it must not throw the successor out.
        await cluster.KillAsync(1);
        await cluster.RecoverAsync(1, lost: [2, 3]);
        await cluster.WaitUntilAsync("both shards are led again", async () => (await cluster.ReplicasAsync("ordered")) is { Count: 4 } replicas && replicas.All(replica => replica.Leader != 0));
        (await keyspace.GetAsync<string>("alone"))!.Value.Should().Be("written by two");
        (await cluster.StatusAsync(1, replicas: true)).Replicas.Should().OnlyContain(replica => replica.Members.Count(member => member.Voter) == 2);
    }
}
