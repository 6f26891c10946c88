using FluentAssertions;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>With the election timeouts of production: how long the majority is without a leader, and how soon the minority says no. Printed, and bounded at ten times what is promised.</summary>
[Collection(ClusterCollection.Name)]
public sealed class FailoverTests(ProductionNodes nodes, ITestOutputHelper output) : IClassFixture<ProductionNodes>, IAsyncLifetime
{
    private const int Rounds = 3;
    private static readonly TimeSpan Promised = TimeSpan.FromSeconds(2);

    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task After_the_leader_is_isolated_another_is_elected_and_the_old_one_refuses()
    {
        string name = nodes.NewName("failover");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        for (int round = 1; round <= Rounds; round++)
        {
            uint old = await _cluster.LeaderOfAsync(name);
            uint other = _cluster.Nodes.First(node => node.Id != old).Id;
            await _cluster.IsolateAsync(old);
            long cut = TimeProvider.System.GetTimestamp();
            Task<TimeSpan> refused = UntilAsync("the isolated leader refuses", cut, async () => (await _cluster.ClientOf(old).PutAsync(name, "k", $"minority {round}")).Code == Code.NoQuorum);
            Task<TimeSpan> elected = UntilAsync("another leads", cut, async () => (await _cluster.StatusAsync(other, replicas: true)).Replicas.Any(replica => replica.Keyspace == name && replica.Leader != 0 && replica.Leader != old));
            Task<TimeSpan> written = UntilAsync("the majority writes", cut, async () => (await _cluster.ClientOf(other).PutAsync(name, "k", $"majority {round}")).IsDone);
            TimeSpan[] times = await Task.WhenAll(refused, elected, written);
            output.WriteLine($"round {round}: refused after {times[0].TotalMilliseconds:0} ms, elected after {times[1].TotalMilliseconds:0} ms, written after {times[2].TotalMilliseconds:0} ms");
            times.Should().OnlyContain(time => time < 10 * Promised, $"ten times what is promised for an idle machine (round {round})");

            await _cluster.HealAsync();
            await _cluster.WaitUntilAsync("the old leader reads what the majority wrote", async () => (await _cluster.ClientOf(old).GetAsync(name, "k")).Value == $"majority {round}");
        }
    }

    private async Task<TimeSpan> UntilAsync(string condition, long since, Func<Task<bool>> holds)
    {
        await _cluster.WaitUntilAsync(condition, holds);
        return TimeProvider.System.GetElapsedTime(since);
    }
}
