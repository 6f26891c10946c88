using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using FluentAssertions;
using KvStore.Contracts.V1;
using KvStore.Node.Loops;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>How far replicas are behind shows in the status and in the metrics.</summary>
[Collection(ClusterCollection.Name)]
public sealed class LagTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(PartitionPolicy.Ap, Replication.Async)]
    [InlineData(PartitionPolicy.Cp, Replication.Sync)]
    public async Task What_a_node_missed_while_it_was_cut_off_is_counted_and_timed(PartitionPolicy policy, Replication replication)
    {
        string name = nodes.NewName("lag");
        var heard = new ConcurrentDictionary<string, long>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Name == NodeMetrics.LagName)
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((_, missing, tags, _) =>
        {
            var byName = tags.ToArray().ToDictionary(tag => tag.Key, tag => tag.Value?.ToString());
            if (byName["keyspace"] == name)
            {
                heard[$"{byName["node"]} of {byName["peer"]}"] = missing;
            }
        });
        listener.Start();

        await _cluster.CreateKeyspaceAsync(name, policy, replication, shards: 1);
        uint at = policy == PartitionPolicy.Cp ? await _cluster.LeaderOfAsync(name) : 1;
        uint away = at == 3 ? 2U : 3U;
        await _cluster.IsolateAsync(away);
        for (int i = 0; i < 20; i++)
        {
            (await _cluster.ClientOf(at).PutAsync(name, $"k{i}", "v")).IsDone.Should().BeTrue();
        }

        async Task<PeerLag> LagAsync() => (await _cluster.StatusAsync(at, replicas: true)).Replicas.Single(replica => replica.Keyspace == name).Lags.Single(lag => lag.Node == away);
        await _cluster.WaitUntilAsync("the lag is counted and timed", async () => await LagAsync() is { Missing: >= 20, ForMs: >= 500 });
        await _cluster.WaitUntilAsync("the metric says so", () => Task.FromResult(heard.GetValueOrDefault($"{at} of {away}") >= 20));

        await _cluster.HealAsync();
        await _cluster.WaitUntilAsync("the lag is gone", async () => await LagAsync() is { Missing: 0, ForMs: 0 });
        await _cluster.WaitUntilAsync("the metric says that too", () => Task.FromResult(heard.GetValueOrDefault($"{at} of {away}") == 0));
    }
}
