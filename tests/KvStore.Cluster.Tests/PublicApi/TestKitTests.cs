using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.PublicApi;

/// <summary>Members of the TestKit that no other test has a reason to use.</summary>
[Collection(ClusterCollection.Name)]
public sealed class TestKitTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("kv-testkit-");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task A_cluster_takes_its_place_its_pace_and_its_bounds_from_its_options()
    {
        string data = Path.Combine(_folder.FullName, "data");
        var options = new KvTestClusterOptions
        {
            Nodes = 3,
            Directory = data,
            HeartbeatInterval = TimeSpan.FromMilliseconds(50),
            ElectionTimeoutMin = TimeSpan.FromMilliseconds(800),
            ElectionTimeoutMax = TimeSpan.FromMilliseconds(1_600),
            TableBytes = 1 << 20,
            WatchWindowBytes = 0,
            Deadline = TimeSpan.FromSeconds(60),
        };
        await using (KvTestCluster cluster = await KvTestCluster.StartAsync(options, Cancellation))
        {
            cluster.Nodes.Should().OnlyContain(node => node.DataDirectory.StartsWith(data));
            await cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync, shards: 1, Cancellation);
            await cluster.KillAsync(await cluster.LeaderOfAsync("orders", cancellationToken: Cancellation));
            IKvKeyspace orders = cluster.Client.Keyspace("orders");

            // Four times what the table may hold: the rest is read from the disk.
            string[] keys = [.. Enumerable.Range(0, 64).Select(i => $"k{i}")];
            foreach (string key in keys)
            {
                await orders.PutAsync(key, new string('v', 65_536), new KvWriteOptions { Timeout = TimeSpan.FromSeconds(60) }, Cancellation);
            }

            foreach (string key in keys)
            {
                (await orders.GetAsync<string>(key, cancellationToken: Cancellation))!.Value.Length.Should().Be(65_536);
            }

            Func<Task> watch = async () =>
            {
                await foreach (KvChange<string> change in orders.WatchAsync<string>(KvRange.All, new KvWatchOptions { Timeout = TimeSpan.FromSeconds(5) }, Cancellation))
                {
                    throw new InvalidOperationException($"It was told of {change.Kind}.");
                }
            };
            (await watch.Should().ThrowAsync<KvException>("a window of no bytes means that nothing can be watched")).Which.Code.Should().Be(KvCode.LevelNotOffered);
        }

        Directory.EnumerateFiles(data, "*", SearchOption.AllDirectories).Should().NotBeEmpty("a directory that was given is the caller's");
    }

    [Fact]
    public async Task A_wait_in_vain_ends_at_the_deadline_and_names_what_it_waited_for()
    {
        await using KvTestCluster cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { Nodes = 1, InMemory = true, Deadline = TimeSpan.FromSeconds(10) }, Cancellation);
        Func<Task> wait = () => cluster.WaitUntilAsync("pigs fly", () => Task.FromResult(false), Cancellation);
        (await wait.Should().ThrowAsync<TimeoutException>()).Which.Message.Should().Contain("pigs fly");
    }

    [Fact]
    public async Task A_cluster_of_defaults_is_told_nothing_but_its_size_and_one_node_is_asked_with_patience()
    {
        await using KvTestCluster cluster = await KvTestCluster.StartAsync(1, Cancellation);
        await cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync, shards: 1, Cancellation);
        KvNodeClient node = cluster.ClientOf(1);
        node.Timeout.Should().BePositive();
        node.Timeout = TimeSpan.FromSeconds(60);
        (await node.PutAsync("orders", "k", "v", cancellationToken: Cancellation)).IsDone.Should().BeTrue();
        (await node.GetAsync("orders", "k", cancellationToken: Cancellation)).Value.Should().Be("v");
    }

    [Fact]
    public async Task A_process_is_found_by_its_id_and_its_log_tells_of_its_end()
    {
        await using KvProcessCluster cluster = await KvProcessCluster.StartAsync(nodes: 1, Cancellation);
        KvProcessNode node = cluster.Node(1);
        (node.Id, node.IsRunning).Should().Be((1U, true));
        await cluster.KillAsync(1);
        node.IsRunning.Should().BeFalse();
        cluster.DescribeLogs().Should().Contain("node 1 (killed)");
    }
}
