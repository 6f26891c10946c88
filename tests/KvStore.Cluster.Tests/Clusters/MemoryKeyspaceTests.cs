using FluentAssertions;
using KvStore.Cluster.Tests.Cli;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Keyspaces in memory at real nodes.</summary>
[Collection(ClusterCollection.Name)]
public sealed class MemoryKeyspaceTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync()
    {
        await nodes.HealAsync();
        foreach (uint node in (uint[])[1, 2, 3])
        {
            await _cluster.RestartAsync(node);
        }

        await _cluster.WaitUntilWholeAsync();
    }

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task A_rolling_restart_that_waits_for_readiness_loses_nothing()
    {
        IKvKeyspace cache = await CreateAsync("rolling", Replication.Sync);
        for (int i = 0; i < 100; i++)
        {
            await cache.PutAsync($"key-{i:00}", $"value-{i}");
        }

        await _cluster.WaitUntilConvergedAsync(cache.Name);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            await _cluster.KillAsync(node);
            await _cluster.RestartAsync(node);
            (await _cluster.StatusAsync(node, replicas: true)).Replicas.Where(replica => replica.Keyspace == cache.Name).Should()
                .HaveCount(2, "a node that calls itself ready knows what it has").And.OnlyContain(replica => !replica.Recovering);
            await _cluster.WaitUntilWholeAsync();
        }

        await _cluster.WaitUntilConvergedAsync(cache.Name);
        (await _cluster.ClientOf(2).GetAsync(cache.Name, "key-77")).Values.Should().Equal("value-77");
        (await _cluster.ReplicasAsync(cache.Name)).Should().OnlyContain(replica => replica.MemoryLosses == 0);
    }

    [Fact]
    public async Task It_stays_ap_and_does_not_count()
    {
        IKvKeyspace cache = await CreateAsync("altered", Replication.Sync);
        Func<Task> alter = async () => await _cluster.Client.Admin.AlterKeyspaceAsync(cache.Name, new KvKeyspaceChange { Policy = PartitionPolicy.Cp });
        (await alter.Should().ThrowAsync<KvException>()).Which.Message.Should().Contain("is in memory, which only ap keyspaces can be");
        await _cluster.Client.Admin.AlterKeyspaceAsync(cache.Name, new KvKeyspaceChange { Replication = Replication.BestEffort });
        Func<Task> count = async () => await cache.IncrementAsync("c", 1);
        (await count.Should().ThrowAsync<KvException>()).Which.Message.Should().Contain("Counters are not offered in keyspaces in memory");
    }

    [Fact]
    public async Task C21_when_all_nodes_restart_at_a_time_the_loss_is_loud_and_recorded_and_the_keyspace_goes_on()
    {
        IKvKeyspace cache = await CreateAsync("lost", Replication.BestEffort);
        await cache.PutAsync("k", "v");
        foreach (uint node in (uint[])[1, 2, 3])
        {
            await _cluster.KillAsync(node);
        }

        await Task.WhenAll(((uint[])[1, 2, 3]).Select(node => _cluster.RestartAsync(node)));
        await _cluster.WaitUntilAsync("the loss of each shard is declared once, and nobody waits any more", async () =>
            (await _cluster.ReplicasAsync(cache.Name)) is { Count: 6 } all && all.All(replica => !replica.Recovering) && all.GroupBy(replica => replica.Shard).All(shard => shard.Sum(replica => (long)replica.MemoryLosses) == 1));
        nodes.Log.ToString().Should().Contain("every replica of this shard in memory has restarted");
        (await cache.GetAsync<string>("k")).Should().BeNull();
        await cache.PutAsync("k", "again");
        (await cache.GetAsync<string>("k"))!.Value.Should().Be("again");
    }

    [Fact]
    public async Task The_bound_holds_and_no_write_waits_for_the_log()
    {
        string name = nodes.NewName("bounded");
        (await nodes.MustKvAsync("keyspace", "create", name, "--policy", "ap", "--replication", "async", "--shards", "1", "--durability", "memory", "--memory", "2MiB")).Out.Should().Contain("memory, 2 MiB");
        IKvKeyspace cache = _cluster.Client.Keyspace(name);
        ulong logged = await LoggedAsync();
        byte[] value = new byte[20_000];
        for (int i = 0; i < 300; i++)
        {
            (await cache.PutAsync($"key-{i:000}", value)).IsDone.Should().BeTrue();
        }

        (await LoggedAsync() - logged).Should().BeLessThan(150, "300 writes, one after the other, waited for no disk");
        foreach (ReplicaStatus replica in await _cluster.ReplicasAsync(name))
        {
            output.WriteLine($"{replica.MemoryBytes} of {replica.MemoryLimit} bytes, {replica.Evictions} evictions");
            replica.MemoryBytes.Should().BeInRange(1_000_000, replica.MemoryLimit);
            replica.MemoryLimit.Should().Be(2 * 1_048_576);
        }

        (await cache.GetAsync<byte[]>("key-299")).Should().NotBeNull();
        (await cache.GetAsync<byte[]>("key-000")).Should().BeNull();
    }

    [Theory]
    [InlineData("--policy", "cp", "--durability", "memory")]
    [InlineData("--policy", "ap", "--durability", "memory", "--memory", "3MiB", "--shards", "8")]
    [InlineData("--policy", "ap", "--memory", "64MiB")]
    [InlineData("--policy", "ap", "--durability", "tape")]
    public async Task What_can_not_be_in_memory_is_refused_with_what_to_do(params string[] settings)
    {
        KvRun refused = await nodes.KvAsync(["keyspace", "create", nodes.NewName("no"), .. settings]);
        refused.Code.Should().Be(KvStore.Cli.ExitCode.Usage, refused.Error);
        refused.Error.Should().NotBeEmpty();
    }

    private async Task<ulong> LoggedAsync()
    {
        ulong sum = 0;
        foreach (uint node in (uint[])[1, 2, 3])
        {
            sum += (await _cluster.StatusAsync(node)).Fsyncs;
        }

        return sum;
    }

    private async Task<IKvKeyspace> CreateAsync(string prefix, Replication replication)
    {
        string name = nodes.NewName(prefix);
        await _cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Policy = PartitionPolicy.Ap, Replication = replication, Durability = Durability.Memory, Shards = 2 });
        await _cluster.WaitUntilAsync("it serves everywhere", async () => (await _cluster.ReplicasAsync(name)) is { Count: 6 } all && all.All(replica => replica.Fenced.Length == 0 && replica.Leader != 0));
        return _cluster.Client.Keyspace(name);
    }
}
