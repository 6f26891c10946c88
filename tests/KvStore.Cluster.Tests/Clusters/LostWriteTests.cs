using System.Diagnostics.Metrics;
using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.Node.Loops;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>What an async leader had acknowledged when it was cut off, and linearizable reads at followers.</summary>
[Collection(ClusterCollection.Name)]
public sealed class LostWriteTests(QuickNodes nodes, ITestOutputHelper output) : IClassFixture<QuickNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task What_an_isolated_async_leader_had_acknowledged_is_listed_exactly_also_after_its_restart()
    {
        long counted = 0;
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Name == NodeMetrics.LostWritesName)
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((_, count, _, _) => Interlocked.Add(ref counted, count));
        listener.Start();

        string name = nodes.NewName("lost");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Async, shards: 1);
        uint old = await _cluster.LeaderOfAsync(name);
        uint other = _cluster.Nodes.First(node => node.Id != old).Id;
        (await _cluster.ClientOf(old).PutAsync(name, "kept", "v")).IsDone.Should().BeTrue();
        await _cluster.WaitUntilCaughtUpAsync(name);

        await _cluster.IsolateAsync(old);
        var acknowledged = new List<string>();
        for (int i = 0; i < 1_000 && (await _cluster.ClientOf(old).PutAsync(name, $"k{i}", $"v{i}")).IsDone; i++)
        {
            acknowledged.Add($"k{i}");
        }

        output.WriteLine($"{acknowledged.Count} writes were acknowledged by the isolated leader");
        await _cluster.WaitUntilAsync("the majority writes", async () => (await _cluster.ClientOf(other).PutAsync(name, "kept", "newer")).IsDone);
        await _cluster.HealAsync();
        await _cluster.WaitUntilCaughtUpAsync(name);

        LostWritesResponse lost = await _cluster.Client.Admin.LostWritesAsync(name);
        lost.Unreached.Should().BeEmpty();
        lost.Writes.Select(write => write.Key.ToStringUtf8()).Should().Equal(acknowledged);
        lost.Writes.Should().OnlyContain(write => write.Node == old && !write.LossInDoubt && !write.AcknowledgementInDoubt && write.AcknowledgedMs > 0);
        await _cluster.WaitUntilAsync("the metric has counted them", () => Task.FromResult(Interlocked.Read(ref counted) == acknowledged.Count));

        await _cluster.KillAsync(old);
        await _cluster.RestartAsync(old);
        await _cluster.WaitUntilCaughtUpAsync(name);
        LostWritesResponse again = await _cluster.Client.Admin.LostWritesAsync(name);
        again.Writes.Should().Equal(lost.Writes, "a restart neither forgets nor doubles");

        LostWritesResponse after = await _cluster.Client.Admin.LostWritesAsync(name, again.Writes);
        after.Cleared.Should().Be((ulong)acknowledged.Count);
        after.Writes.Should().BeEmpty();
    }

    [Fact]
    public async Task A_follower_answers_a_linearizable_read_itself_and_as_fresh_as_the_leader()
    {
        string name = nodes.NewName("nearest");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        var answeredBy = new HashSet<uint>();
        for (int i = 0; i < 60; i++)
        {
            await keyspace.PutAsync("k", $"{i}");
            KvEntry<string>? read = await keyspace.GetAsync<string>("k", new KvReadOptions { ReadFrom = KvReadFrom.Nearest });
            read!.Value.Should().Be($"{i}");
            answeredBy.Add(read.Node);
        }

        output.WriteLine($"answered by nodes {string.Join(", ", answeredBy.Order())}");
    }

    [Fact]
    public async Task Max_lag_is_kept_with_the_keyspace_and_other_bounds_are_refused()
    {
        string name = nodes.NewName("lag");
        var settings = new KvKeyspaceSettings { Name = name, Replication = Replication.Async, Shards = 1, MaxLagBytes = 4_096, MaxLagTime = TimeSpan.FromMilliseconds(200) };
        Keyspace created = await _cluster.Client.Admin.CreateKeyspaceAsync(settings);
        created.MaxLag.Should().Be(new MaxLag { Bytes = 4_096, TimeMs = 200 });
        Func<Task> other = async () => await _cluster.Client.Admin.CreateKeyspaceAsync(settings with { MaxLagBytes = 8_192 });
        await other.Should().ThrowAsync<KvException>();
        Func<Task> tooMuch = async () => await _cluster.Client.Admin.CreateKeyspaceAsync(settings with { Name = nodes.NewName("lag"), MaxLagBytes = 64 << 20 });
        (await tooMuch.Should().ThrowAsync<KvException>()).Which.Code.Should().Be(KvCode.InvalidArgument);
    }
}
