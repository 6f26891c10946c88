using KvStore.Client;
using KvStore.Cluster.Tests.Load;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Recorded histories of concurrent clients while the cluster is cut, killed, healed and restarted.</summary>
[Collection(ClusterCollection.Name)]
public sealed class HistoryTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private const int Clients = 4;

    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task An_ordered_keyspace_stays_linearizable_through_cuts_kills_and_restarts()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        string name = nodes.NewName("ordered");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 3);
        RecordedLoad load = await PlayAsync(name, isOpen: false, seed);
        await _cluster.WaitUntilCaughtUpAsync(name);
        foreach (KvTestNode node in _cluster.Nodes)
        {
            await _cluster.WaitUntilAsync($"node {node.Id} serves every key", () => ServesAsync(node, name, load.Keys));
            var store = new NodeStore(node.Client, name);
            foreach (string key in load.Keys)
            {
                StoreAnswer read = await load.ReadAsync(store, key);
                Assert.True(read.Outcome == RecordedOutcome.Done, $"Node {node.Id} does not serve {key} after the heal: {read.Code} (seed {seed}).");
            }
        }

        Verdicts.MustBeLinearizable(load.ToHistory(), await _cluster.DumpAsync(name), $"seed {seed}; {load}");
    }

    [Theory]
    [InlineData(Replication.Sync)]
    [InlineData(Replication.Async)]
    public async Task An_open_keyspace_keeps_every_acknowledged_write_through_cuts_kills_and_restarts(Replication replication)
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        string name = nodes.NewName("open");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, replication, shards: 3);
        RecordedLoad load = await PlayAsync(name, isOpen: true, seed);
        output.WriteLine($"converged after {(await _cluster.WaitUntilConvergedAsync(name)).TotalMilliseconds:0} ms");
        Verdicts.MustKeepWhatWasAcknowledged(load.ToHistory(), await _cluster.DumpAsync(name), $"seed {seed}; {load}");
    }

    /// <summary>Each shard has its own leader, and finds it at its own time: one key that is served says nothing of the others.</summary>
    private static async Task<bool> ServesAsync(KvTestNode node, string keyspace, IEnumerable<string> keys)
    {
        foreach (string key in keys)
        {
            if (!(await node.Client.GetAsync(keyspace, key)).IsDone)
            {
                return false;
            }
        }

        return true;
    }

    private async Task<RecordedLoad> PlayAsync(string name, bool isOpen, int seed)
    {
        var options = new KvClientOptions { DefaultTimeout = TimeSpan.FromSeconds(3), AttemptTimeout = TimeSpan.FromSeconds(1) };
        foreach (string endpoint in _cluster.Endpoints)
        {
            options.Endpoints.Add(endpoint);
        }

        await using IKvClient client = KvClient.Create(options);
        IEnumerable<Store> clients = Enumerable.Range(1, Clients).Select(number => new ClientStore($"c{number}", client.Keyspace(name)));
        IEnumerable<Store> pinned = _cluster.Nodes.Select(node => new NodeStore(node.Client, name));
        RecordedLoad load = RecordedLoad.Start(new LoadPlan { Seed = seed, IsOpen = isOpen }, [.. clients, .. pinned]);
        try
        {
            await new Troubles(_cluster, name, load, output.WriteLine).PlayAsync(seed);
        }
        finally
        {
            await load.StopAsync();
        }

        return load;
    }
}
