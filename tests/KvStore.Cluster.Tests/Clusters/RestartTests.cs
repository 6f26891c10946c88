using System.Globalization;
using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Load;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Nodes with a table far smaller than their data, stopped, killed and robbed of their disks.</summary>
[Collection(ClusterCollection.Name)]
public sealed class RestartTests(SmallTables nodes, ITestOutputHelper output) : IClassFixture<SmallTables>, IAsyncLifetime
{
    private const int Filled = 60;

    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync()
    {
        foreach (KvTestNode node in _cluster.Nodes)
        {
            await _cluster.RestartAsync(node.Id);
        }

        await nodes.HealAsync();
    }

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(PartitionPolicy.Cp)]
    [InlineData(PartitionPolicy.Ap)]
    public async Task More_data_than_fits_the_table_is_read_back_before_and_after_all_nodes_were_killed(PartitionPolicy policy)
    {
        const int Records = 2_400;
        string name = nodes.NewName("large");
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        await Parallel.ForAsync(0, Records, new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (number, _) => await keyspace.PutAsync(Key(number), Value(number)));
        await MustReadAllAsync(keyspace, Records, "before the restart");

        foreach (KvTestNode node in _cluster.Nodes)
        {
            await _cluster.KillAsync(node.Id);
        }

        await Task.WhenAll(_cluster.Nodes.Select(node => _cluster.RestartAsync(node.Id)));
        await _cluster.WaitUntilWholeAsync();
        await MustReadAllAsync(keyspace, Records, "after the restart");
        var keys = new List<string>();
        await foreach (KvEntry<string> entry in keyspace.ScanAsync<string>(KvRange.All))
        {
            entry.Value.Should().Be(Value(int.Parse(entry.Key.ToString().AsSpan(4), CultureInfo.InvariantCulture)));
            keys.Add(entry.Key.ToString());
        }

        keys.Should().HaveCount(Records).And.BeInAscendingOrder(StringComparer.Ordinal);
        await (policy == PartitionPolicy.Cp ? _cluster.WaitUntilCaughtUpAsync(name) : _cluster.WaitUntilConvergedAsync(name));
        foreach (ReplicaDump dump in await _cluster.DumpAsync(name))
        {
            dump.Keys.Should().HaveCount(Records, dump.Replica);
        }
    }

    [Theory]
    [InlineData(PartitionPolicy.Cp)]
    [InlineData(PartitionPolicy.Ap)]
    public async Task A_rolling_restart_under_load_shows_only_documented_failures_and_loses_nothing(PartitionPolicy policy)
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        string name = nodes.NewName("rolling");
        await _cluster.CreateKeyspaceAsync(name, policy, Replication.Sync);
        bool isOpen = policy == PartitionPolicy.Ap;
        IEnumerable<Store> clients = Enumerable.Range(1, 6).Select(number => new ClientStore($"c{number}", _cluster.Client.Keyspace(name)));
        RecordedLoad load = RecordedLoad.Start(new LoadPlan { Seed = seed, IsOpen = isOpen }, clients);
        var troubles = new Troubles(_cluster, name, load, output.WriteLine);
        foreach (KvTestNode node in _cluster.Nodes)
        {
            await troubles.ProgressAsync($"before node {node.Id} stops");
            await _cluster.StopAsync(node.Id);
            await troubles.ProgressAsync($"without node {node.Id}");
            await _cluster.RestartAsync(node.Id);
        }

        await troubles.ProgressAsync("at the end");
        await load.StopAsync();
        output.WriteLine(load.ToString());
        await (isOpen ? _cluster.WaitUntilConvergedAsync(name) : _cluster.WaitUntilCaughtUpAsync(name));
        IReadOnlyList<ReplicaDump> end = await _cluster.DumpAsync(name);
        if (isOpen)
        {
            Verdicts.MustKeepWhatWasAcknowledged(load.ToHistory(), end, $"seed {seed}; {load}");
        }
        else
        {
            Verdicts.MustBeLinearizable(load.ToHistory(), end, $"seed {seed}; {load}");
        }

        // The client retries within its 30 s what a node refuses while it stops or starts. What it can't settle is a write whose connection broke.
        load.Failures.Keys.Should().NotContain(failure => !failure.StartsWith("unknown: ", StringComparison.Ordinal) || failure.EndsWith(": None", StringComparison.Ordinal), load.ToString());
    }

    [Fact]
    public async Task A_replica_that_was_away_takes_over_deletes_and_brings_nothing_deleted_back()
    {
        const uint Away = 3;
        string name = nodes.NewName("away");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Sync, shards: 2);
        await FillAsync(name);
        await _cluster.WaitUntilConvergedAsync(name);
        await _cluster.KillAsync(Away);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        await keyspace.DeleteAsync("key-7");
        await keyspace.PutAsync("key-8", "newer");
        await _cluster.RestartAsync(Away);
        output.WriteLine($"converged after {(await _cluster.WaitUntilConvergedAsync(name)).TotalMilliseconds:0} ms");
        foreach (ReplicaDump dump in await _cluster.DumpAsync(name))
        {
            dump.Keys.Should().HaveCount(Filled - 1, dump.Replica).And.NotContain("key-7");
            dump.ValuesOf("key-8").Should().Equal("newer");
            dump.ValuesOf("key-9").Should().Equal("value-9");
        }
    }

    [Fact]
    public async Task A_node_that_has_not_read_the_catalog_since_its_start_calls_no_keyspace_unknown()
    {
        const uint Late = 3;
        await _cluster.StopAsync(Late);
        string name = nodes.NewName("newer");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        foreach (uint node in (uint[])[1, 2])
        {
            await _cluster.StopAsync(node);
        }

        // Alone it has no majority, and its disk has a catalog without the keyspace.
        await _cluster.RestartAsync(Late);
        KvNodeAnswer alone = await _cluster.ClientOf(Late).GetAsync(name, "k");
        (alone.Outcome, alone.Code).Should().Be((Outcome.NotDone, Code.Recovering));
        await using IKvClient client = KvClient.Create($"http://{_cluster.Node(Late).Address}");
        KvException described = (await FluentActions.Awaiting(() => client.Admin.DescribeKeyspaceAsync(name).AsTask()).Should().ThrowAsync<KvException>()).Which;
        described.Code.Should().Be(KvCode.Recovering);

        // Longer than a client waits before it believes that a keyspace does not exist.
        KvException gone = (await FluentActions.Awaiting(() => client.Keyspace(name).PutAsync("k", "early", new KvWriteOptions { Timeout = TimeSpan.FromSeconds(2.5) }).AsTask()).Should().ThrowAsync<KvException>()).Which;
        (gone.Code, gone.OutcomeUnknown).Should().Be((KvCode.DeadlineExceeded, false));

        await Task.WhenAll(_cluster.RestartAsync(1), _cluster.RestartAsync(2));
        await client.Keyspace(name).PutAsync("k", "v");
        KvException unknown = (await FluentActions.Awaiting(() => client.Keyspace("unheard-of").PutAsync("k", "v").AsTask()).Should().ThrowAsync<KvException>()).Which;
        unknown.Code.Should().Be(KvCode.UnknownKeyspace);
        await _cluster.WaitUntilAsync("the node says so too", async () => (await _cluster.ClientOf(Late).GetAsync("unheard-of", "k")).Code == Code.UnknownKeyspace);
    }

    [Fact]
    public async Task Scenario_32_a_node_whose_data_was_wiped_is_let_in_by_nobody_serves_nothing_wrong_and_the_others_go_on()
    {
        const uint Wiped = 3;

        // Other tests of the class need a whole cluster.
        await using KvTestCluster cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { Log = nodes.Log.Add });
        foreach ((string name, PartitionPolicy policy) in ((string, PartitionPolicy)[])[("ordered", PartitionPolicy.Cp), ("open", PartitionPolicy.Ap)])
        {
            await cluster.CreateKeyspaceAsync(name, policy, Replication.Sync, shards: 1);
            await cluster.Client.Keyspace(name).PutAsync("k", "kept");
        }

        await cluster.WaitUntilCaughtUpAsync("ordered");
        await cluster.WaitUntilConvergedAsync("open");
        await cluster.KillAsync(Wiped);
        Directory.Delete(cluster.Node(Wiped).DataDirectory, recursive: true);
        await cluster.RestartAsync(Wiped);
        await cluster.WaitUntilAsync(
            "the wiped node is refused",
            () => Task.FromResult(nodes.Log.ToString().Contains($"Node {Wiped} is known with the data directory", StringComparison.Ordinal)));
        foreach (string name in (string[])["ordered", "open"])
        {
            (await cluster.Client.Keyspace(name).GetAsync<string>("k"))!.Value.Should().Be("kept");
            await cluster.Client.Keyspace(name).PutAsync("k", "newer");
            (await cluster.Client.Keyspace(name).GetAsync<string>("k"))!.Value.Should().Be("newer");
            KvNodeAnswer answer = await cluster.ClientOf(Wiped).GetAsync(name, "k");
            (answer.IsDone && answer.Value != "newer").Should().BeFalse($"an empty disk is no proof that the key has no value ({answer})");
        }
    }

    private async Task FillAsync(string name)
    {
        for (int i = 0; i < Filled; i++)
        {
            (await _cluster.ClientOf((uint)(i % 3) + 1).PutAsync(name, $"key-{i}", $"value-{i}")).IsDone.Should().BeTrue();
        }
    }

    private static string Key(int number) => $"key-{number:00000}";

    /// <summary>2 KiB that tell their key.</summary>
    private static string Value(int number) => string.Create(CultureInfo.InvariantCulture, $"{number}:{new string((char)('a' + (number % 26)), 2_048)}");

    private static async Task MustReadAllAsync(IKvKeyspace keyspace, int records, string when) =>
        await Parallel.ForAsync(0, records, new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (number, _) =>
        {
            KvEntry<string>? entry = await keyspace.GetAsync<string>(Key(number));
            (entry?.Value).Should().Be(Value(number), $"{Key(number)} was acknowledged ({when})");
        });
}

/// <summary>Nodes that hold the least that they can in memory, so that most reads go to the disk.</summary>
public sealed class SmallTables : ThreeNodes
{
    protected override KvTestClusterOptions Options => new()
    {
        TableBytes = 1L << 20,
        HeartbeatInterval = TimeSpan.FromMilliseconds(50),
        ElectionTimeoutMin = TimeSpan.FromMilliseconds(500),
        ElectionTimeoutMax = TimeSpan.FromMilliseconds(1_000),
    };
}
