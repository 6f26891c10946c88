using System.Collections.Concurrent;
using FluentAssertions;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Two sides of a cut write on for a while; when the links are back all replicas become equal, and nothing that was acknowledged is missing.</summary>
[Collection(ClusterCollection.Name)]
public sealed class HealingTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private const int Writers = 16;

    /// <summary>Each side writes so many keys, evenly over the time that both write; on a slow machine that takes longer.</summary>
    private const int KeysPerSide = 5_000;

    private readonly KvTestCluster _cluster = nodes.Cluster;

    /// <summary>For how long both sides write, by the clock: long enough for every connection between them to be given up, and for reconnecting to have slowed down.</summary>
    private static readonly TimeSpan WritingTime = TimeSpan.FromSeconds(10);

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Two_sides_that_wrote_for_10_s_under_a_partition_become_equal_in_10_000_keys_and_miss_nothing()
    {
        string name = nodes.NewName("healing");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Async);
        await _cluster.PartitionAsync([1], [2, 3]);
        ConcurrentDictionary<string, string> left = [], right = [];
        await Task.WhenAll(WriteAsync(name, 1, "left", left), WriteAsync(name, 2, "right", right));
        await _cluster.ClientOf(1).PutAsync(name, "both", "left");
        await _cluster.ClientOf(2).PutAsync(name, "both", "right");

        long healed = TimeProvider.System.GetTimestamp();
        await _cluster.HealAsync();
        await _cluster.WaitUntilAsync("all replicas have equal clocks and equal digests, and keep nothing for a peer", () => AreEqualAsync(name));
        output.WriteLine($"{left.Count} keys on one side and {right.Count} on the other: equal {TimeProvider.System.GetElapsedTime(healed).TotalMilliseconds:0} ms after the heal");

        foreach (ReplicaDump dump in await _cluster.DumpAsync(name))
        {
            dump.ValuesOf("both").Should().BeEquivalentTo("left", "right");
            foreach ((string key, string value) in left.Concat(right))
            {
                dump.ValuesOf(key).Should().Equal([value], $"{key} was acknowledged");
            }

            dump.Keys.Should().HaveCountGreaterThanOrEqualTo(left.Count + right.Count + 1);
        }
    }

    private async Task WriteAsync(string keyspace, uint node, string side, ConcurrentDictionary<string, string> acknowledged)
    {
        long began = TimeProvider.System.GetTimestamp();
        int next = 0;
        await Task.WhenAll(Enumerable.Range(0, Writers).Select(async _ =>
        {
            for (int i = Interlocked.Increment(ref next); i <= KeysPerSide; i = Interlocked.Increment(ref next))
            {
                // What is written is spread over the time: the pace is the load, nothing is waited for.
                TimeSpan early = (WritingTime * i / KeysPerSide) - TimeProvider.System.GetElapsedTime(began);
                if (early > TimeSpan.Zero)
                {
                    await Task.Delay(early, TestContext.Current.CancellationToken);
                }

                string key = $"{side}-{i}";
                if ((await _cluster.ClientOf(node).PutAsync(keyspace, key, $"value of {key}")).IsDone)
                {
                    acknowledged[key] = $"value of {key}";
                }
            }
        }));
        acknowledged.Should().HaveCount(KeysPerSide, "a side that is cut off takes every write");
    }

    private async Task<bool> AreEqualAsync(string keyspace)
    {
        IReadOnlyList<ReplicaStatus> replicas = await _cluster.ReplicasAsync(keyspace);
        return replicas.All(replica => replica.Digest.Length > 0 && replica.DotKeys == 0 && replica.UncoveredContexts == 0)
            && replicas.GroupBy(replica => replica.Shard).All(shard => shard.Count() == 3 && shard.Select(replica => (replica.Clock, replica.Digest)).Distinct().Count() == 1);
    }
}
