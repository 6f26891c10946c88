using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Scenarios 56 and 62 with real nodes.</summary>
[Collection(ClusterCollection.Name)]
public sealed class CountersAndExpiryTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(Replication.Sync)]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public async Task Scenario_56_concurrent_increments_of_a_cp_counter_each_get_a_value_of_their_own(Replication replication)
    {
        IKvKeyspace keyspace = await NewAsync(PartitionPolicy.Cp, replication);
        long[] values = await Task.WhenAll(Enumerable.Range(0, 60).Select(_ => keyspace.IncrementAsync("c").AsTask()));
        values.Order().Should().Equal(Enumerable.Range(1, 60).Select(value => (long)value));
        (await keyspace.GetAsync<long>("c"))!.Value.Should().Be(60);
    }

    [Fact]
    public async Task Scenario_56_increments_on_both_sides_of_a_cut_add_up_when_it_heals()
    {
        IKvKeyspace keyspace = await NewAsync(PartitionPolicy.Ap, Replication.Sync);
        await keyspace.IncrementAsync("c", 100);
        await _cluster.PartitionAsync([1], [2, 3]);
        foreach (KvTestNode node in _cluster.Nodes)
        {
            for (int i = 0; i < 5; i++)
            {
                await _cluster.WaitUntilAsync($"node {node.Id} counts", async () => (await node.Client.IncrementAsync(keyspace.Name, "c", (long)node.Id)).IsDone);
            }
        }

        await _cluster.HealAsync();
        await _cluster.WaitUntilConvergedAsync(keyspace.Name);
        KvEntry<long> counter = (await keyspace.GetAsync<long>("c", new KvReadOptions { Level = KvReadLevel.Quorum }))!;
        counter.Value.Should().Be(100 + (5 * (1 + 2 + 3)));
        counter.SiblingCount.Should().Be(1);
    }

    [Fact]
    public async Task Scenario_62_a_value_outlives_its_leader_and_is_gone_when_its_time_is_over()
    {
        IKvKeyspace keyspace = await NewAsync(PartitionPolicy.Cp, Replication.Sync);
        long began = TimeProvider.System.GetTimestamp();
        var ttl = TimeSpan.FromSeconds(5);
        await keyspace.PutAsync("k", "v", new KvWriteOptions { Ttl = ttl });
        uint leader = await _cluster.LeaderOfAsync(keyspace.Name);
        await _cluster.IsolateAsync(leader);
        KvEntry<string>? entry = await keyspace.GetAsync<string>("k");
        if (TimeProvider.System.GetElapsedTime(began) < ttl)
        {
            entry!.Value.Should().Be("v", "its time is not over");
            entry.ExpiresIn.Should().BePositive().And.BeLessThanOrEqualTo(ttl);
        }

        while (await keyspace.GetAsync<string>("k") is not null)
        {
            TimeProvider.System.GetElapsedTime(began).Should().BeLessThan(TimeSpan.FromSeconds(30), "the new leader expires it");
        }

        TimeProvider.System.GetElapsedTime(began).Should().BeGreaterThanOrEqualTo(ttl - TimeSpan.FromMilliseconds(5));
        (await keyspace.TryPutAsync("k", "again", KvVersion.Absent)).IsDone.Should().BeTrue();
    }

    [Theory]
    [InlineData(PartitionPolicy.Cp)]
    [InlineData(PartitionPolicy.Ap)]
    public async Task Thousands_of_values_that_expire_together_leave_nothing_behind(PartitionPolicy policy)
    {
        IKvKeyspace keyspace = await NewAsync(policy, Replication.Async);
        await Task.WhenAll(Enumerable.Range(0, 2_000).Select(key => keyspace.PutAsync($"k{key}", "v", new KvWriteOptions { Ttl = TimeSpan.FromMilliseconds(500) }).AsTask()));
        await keyspace.PutAsync("last", "v");
        await _cluster.WaitUntilAsync("every replica has only the last", async () =>
            (await _cluster.DumpAsync(keyspace.Name)).All(dump => dump.Keys.Count() == 1));
        (await keyspace.GetAsync<string>("last"))!.ExpiresIn.Should().BeNull();
    }

    [Theory]
    [InlineData(PartitionPolicy.Cp)]
    [InlineData(PartitionPolicy.Ap)]
    public async Task An_idle_shard_sleeps_until_a_value_expires_and_takes_it_away(PartitionPolicy policy)
    {
        IKvKeyspace keyspace = await NewAsync(policy, Replication.Sync);
        await keyspace.PutAsync("k", "v", new KvWriteOptions { Ttl = TimeSpan.FromSeconds(4) });
        await _cluster.WaitUntilAsync("the shard is quiet", async () => (await _cluster.ReplicasAsync(keyspace.Name)).All(replica => replica.Quiet));
        await _cluster.WaitUntilAsync("the value is gone everywhere", async () => (await _cluster.DumpAsync(keyspace.Name)).All(dump => !dump.Keys.Any()));
        await _cluster.WaitUntilAsync("the shard is quiet again", async () => (await _cluster.ReplicasAsync(keyspace.Name)).All(replica => replica.Quiet));
    }

    private async Task<IKvKeyspace> NewAsync(PartitionPolicy policy, Replication replication)
    {
        string name = nodes.NewName("types");
        await _cluster.CreateKeyspaceAsync(name, policy, replication, shards: 1);
        return _cluster.Client.Keyspace(name);
    }
}
