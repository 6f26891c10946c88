using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

[Collection(ClusterCollection.Name)]
public sealed class OpenKeyspaceTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(Replication.Sync)]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public async Task Every_replica_gets_every_write_and_every_delete(Replication replication)
    {
        string name = nodes.NewName("spread");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, replication);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        for (int i = 0; i < 60; i++)
        {
            KvWriteResult written = await keyspace.PutAsync($"key-{i}", $"value-{i}");
            written.Outcome.Should().Be(KvOutcome.Done);
            if (replication == Replication.Sync)
            {
                written.Acknowledgements.Should().BeGreaterThanOrEqualTo(2);
            }
        }

        await keyspace.DeleteAsync("key-3");
        output.WriteLine($"converged after {(await _cluster.WaitUntilConvergedAsync(name)).TotalMilliseconds:0} ms");
        foreach (TestKit.Histories.ReplicaDump dump in await _cluster.DumpAsync(name))
        {
            dump.Keys.Should().HaveCount(59);
            dump.ValuesOf("key-59").Should().Equal("value-59");
        }
    }

    [Fact]
    public async Task A_shard_with_so_many_keys_that_lookups_are_warmed_holds_and_answers_the_same()
    {
        const int Keys = KvStore.Core.Replicas.Warming.LeastRecords + 2_000;
        string name = nodes.NewName("large");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Async, shards: 1);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        await PutAllAsync(Enumerable.Range(0, Keys), "first");
        await PutAllAsync(Enumerable.Range(0, 3_000).Select(i => i * 6), "second");
        await _cluster.WaitUntilConvergedAsync(name);
        foreach (TestKit.Histories.ReplicaDump dump in await _cluster.DumpAsync(name))
        {
            dump.Keys.Should().HaveCount(Keys);
            dump.ValuesOf("key-6").Should().Equal("second-6");
            dump.ValuesOf("key-7").Should().Equal("first-7");
        }

        KvEntry<string>?[] read = await Task.WhenAll(Enumerable.Range(0, 600).Select(i => keyspace.GetAsync<string>($"key-{i}", new KvReadOptions { Level = KvReadLevel.Eventual }).AsTask()));
        read.Select(entry => entry!.Value).Should().Equal(Enumerable.Range(0, 600).Select(i => i % 6 == 0 ? $"second-{i}" : $"first-{i}"));
        (await keyspace.GetAsync<string>("key-none", new KvReadOptions { Level = KvReadLevel.Eventual })).Should().BeNull();

        async Task PutAllAsync(IEnumerable<int> numbers, string value)
        {
            foreach (int[] chunk in numbers.Chunk(1_000))
            {
                KvWriteResult[] written = await Task.WhenAll(chunk.Select(i => keyspace.PutAsync($"key-{i}", $"{value}-{i}").AsTask()));
                written.Should().OnlyContain(result => result.Outcome == KvOutcome.Done);
            }
        }
    }

    [Theory]
    [InlineData(Replication.Sync)]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public async Task Both_sides_of_a_cut_serve_and_true_conflicts_are_kept_as_siblings(Replication replication)
    {
        string name = nodes.NewName("conflict");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, replication);
        (await _cluster.ClientOf(1).PutAsync(name, "cart", "empty")).IsDone.Should().BeTrue();
        await _cluster.WaitUntilConvergedAsync(name);

        await _cluster.PartitionAsync([1], [2, 3]);
        await _cluster.WaitUntilAsync("node 1 knows that it is alone", async () => (await _cluster.StatusAsync(1)).Peers.All(peer => peer.Reachability == Reachability.Down || !peer.HearsUs));
        KvNodeAnswer left = await _cluster.ClientOf(1).PutAsync(name, "cart", "tea");
        KvNodeAnswer right = await _cluster.ClientOf(2).PutAsync(name, "cart", "milk");
        (await _cluster.ClientOf(1).PutAsync(name, "left", "only")).IsDone.Should().BeTrue();
        (await _cluster.ClientOf(3).PutAsync(name, "right", "only")).IsDone.Should().BeTrue();
        left.IsDone.Should().BeTrue(left.Reason);
        right.IsDone.Should().BeTrue(right.Reason);
        left.Degraded.Should().Be(replication == Replication.Sync, "a sync write without a majority says so");
        (await _cluster.ClientOf(1).GetAsync(name, "cart")).Values.Should().Equal("tea");
        (await _cluster.ClientOf(1).GetAsync(name, "cart", ReadLevel.Quorum)).Code.Should().Be(Code.NoQuorum);

        await _cluster.HealAsync();
        output.WriteLine($"converged {(await _cluster.WaitUntilConvergedAsync(name)).TotalMilliseconds:0} ms after the heal");
        foreach (TestKit.Histories.ReplicaDump dump in await _cluster.DumpAsync(name))
        {
            dump.ValuesOf("cart").Should().BeEquivalentTo("tea", "milk");
            dump.ValuesOf("left").Should().Equal("only");
            dump.ValuesOf("right").Should().Equal("only");
        }

        KvEntry<string> conflict = (await _cluster.Client.Keyspace(name).GetAsync<string>("cart", new KvReadOptions { Level = KvReadLevel.Quorum }))!;
        conflict.SiblingCount.Should().Be(2);
        await _cluster.Client.Keyspace(name).PutInContextAsync("cart", "tea, milk", conflict.Version);
        await _cluster.WaitUntilConvergedAsync(name);
        (await _cluster.ClientOf(3).GetAsync(name, "cart")).Values.Should().Equal("tea, milk");
    }

    [Fact]
    public async Task Conditional_writes_and_linearizable_reads_are_refused_with_what_to_do_instead()
    {
        string name = nodes.NewName("refusals");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Ap, Replication.Async, shards: 1);
        KvNodeAnswer conditional = await _cluster.ClientOf(1).TryPutAsync(name, "k", "v", Google.Protobuf.ByteString.Empty);
        conditional.Code.Should().Be(Code.LevelNotOffered);
        conditional.Reason.Should().Contain("cp keyspace");
        (await _cluster.ClientOf(1).GetAsync(name, "k", ReadLevel.Linearizable)).Code.Should().Be(Code.LevelNotOffered);
    }
}
