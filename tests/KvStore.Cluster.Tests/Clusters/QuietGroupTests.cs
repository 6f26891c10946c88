using FluentAssertions;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Groups that have fallen silent because nothing happens: they wake when something does, and lose no safety and little time by having slept. Counterexample C8, with nodes.</summary>
[Collection(ClusterCollection.Name)]
public sealed class QuietGroupTests(ProductionNodes nodes, ITestOutputHelper output) : IClassFixture<ProductionNodes>, IAsyncLifetime
{
    private static readonly TimeSpan Promised = TimeSpan.FromSeconds(2);

    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync()
    {
        foreach (KvTestNode node in _cluster.Nodes.Where(node => !node.IsRunning))
        {
            await _cluster.RestartAsync(node.Id);
        }

        await nodes.HealAsync();
    }

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(PartitionPolicy.Cp)]
    [InlineData(PartitionPolicy.Ap)]
    public async Task A_group_without_work_falls_silent_and_a_write_wakes_it(PartitionPolicy policy)
    {
        string name = nodes.NewName("silent");
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync, shards: 2);
        await QuietAsync(name);

        foreach (KvTestNode node in _cluster.Nodes)
        {
            (await _cluster.ClientOf(node.Id).PutAsync(name, $"k{node.Id}", "v")).IsDone.Should().BeTrue();
        }

        foreach (KvTestNode node in _cluster.Nodes)
        {
            await _cluster.WaitUntilAsync("each node has what the others wrote", async () => (await _cluster.ClientOf(node.Id).GetAsync(name, "k1")).Value == "v");
        }

        await QuietAsync(name);
    }

    [Fact]
    public async Task When_the_leader_of_a_quiet_group_dies_another_is_elected_within_the_usual_bound()
    {
        string name = nodes.NewName("killed");
        uint old = await QuietLeaderAsync(name);
        uint other = _cluster.Nodes.First(node => node.Id != old).Id;

        long killed = TimeProvider.System.GetTimestamp();
        await _cluster.KillAsync(old);
        await _cluster.WaitUntilAsync("the others write", async () => (await _cluster.ClientOf(other).PutAsync(name, "k", "after")).IsDone);

        TimeSpan took = TimeProvider.System.GetElapsedTime(killed);
        output.WriteLine($"written {took.TotalMilliseconds:0} ms after the leader of the quiet group was killed");
        took.Should().BeLessThan(10 * Promised, "ten times what is promised for an idle machine");
    }

    [Fact]
    public async Task When_the_leader_of_a_quiet_group_reboots_a_leader_is_elected()
    {
        string name = nodes.NewName("rebooted");
        uint old = await QuietLeaderAsync(name);

        await _cluster.KillAsync(old);
        long restarted = TimeProvider.System.GetTimestamp();
        await _cluster.RestartAsync(old);
        await _cluster.WaitUntilAsync("the rebooted node writes", async () => (await _cluster.ClientOf(old).PutAsync(name, "k", "after")).IsDone);

        TimeSpan took = TimeProvider.System.GetElapsedTime(restarted);
        output.WriteLine($"written {took.TotalMilliseconds:0} ms after the restart");
        took.Should().BeLessThan(10 * Promised, "ten times what is promised for an idle machine");
    }

    [Fact]
    public async Task A_leader_cut_off_from_its_quiet_group_serves_nothing_old_when_its_links_are_back()
    {
        string name = nodes.NewName("deposed");
        uint old = await QuietLeaderAsync(name, Replication.Async);
        uint other = _cluster.Nodes.First(node => node.Id != old).Id;
        for (int round = 1; round <= 3; round++)
        {
            await _cluster.IsolateAsync(old);
            string value = $"majority {round}";
            await _cluster.WaitUntilAsync("the others write", async () => (await _cluster.ClientOf(other).PutAsync(name, "k", value)).IsDone);
            await _cluster.HealAsync();

            // From the first moment on: whatever the old leader answers to a linearizable read is what the others wrote.
            await _cluster.WaitUntilAsync("the old leader reads what the others wrote", async () =>
            {
                KvNodeAnswer answer = await _cluster.ClientOf(old).GetAsync(name, "k");
                (answer.Value ?? value).Should().Be(value, "it was written before the links came back");
                return answer.Value == value;
            });
            await nodes.HealAsync();
            await QuietAsync(name);
            old = await _cluster.LeaderOfAsync(name);
            other = _cluster.Nodes.First(node => node.Id != old).Id;
        }
    }

    private async Task<uint> QuietLeaderAsync(string name, Replication replication = Replication.Sync)
    {
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, replication, shards: 1);
        (await _cluster.ClientOf(1).PutAsync(name, "k", "before")).IsDone.Should().BeTrue();
        await QuietAsync(name);
        return await _cluster.LeaderOfAsync(name);
    }

    private Task QuietAsync(string name) =>
        _cluster.WaitUntilAsync($"the groups of '{name}' are quiet", async () => (await _cluster.ReplicasAsync(name)) is { Count: > 0 } replicas && replicas.All(replica => replica.Quiet));
}
