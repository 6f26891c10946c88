using FluentAssertions;
using KvStore.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Kill;

/// <summary>What "sync" promises, as the kernel saw it: when a put is acknowledged, a majority has called fdatasync after the put began, and has come back from it.</summary>
[Collection(ClusterCollection.Name)]
public sealed class AcknowledgedAfterSyncTests(ThreeProcesses processes, ITestOutputHelper output) : IClassFixture<ThreeProcesses>
{
    private const int Puts = 50;

    private readonly KvProcessCluster _cluster = processes.Cluster;

    [Theory]
    [InlineData("ordered", PartitionPolicy.Cp)]
    [InlineData("open", PartitionPolicy.Ap)]
    public async Task A_sync_put_is_acknowledged_only_after_a_majority_has_synced_its_log(string keyspace, PartitionPolicy policy)
    {
        Assert.SkipUnless(SyncTrace.IsPossible, "strace is not installed, or this user may not trace.");
        await _cluster.CreateKeyspaceAsync(keyspace, policy, Replication.Sync, shards: 1);
        IKvKeyspace target = _cluster.Client.Keyspace(keyspace);
        await target.PutAsync("first", "the client knows the way");

        List<SyncTrace> traces = [];
        try
        {
            foreach (KvProcessNode node in _cluster.Nodes)
            {
                traces.Add(await SyncTrace.StartAsync(node.ProcessId));
            }

            List<(long Begin, long End)> puts = [];
            for (int put = 0; put < Puts; put++)
            {
                long begin = SyncTrace.Now();
                await target.PutAsync($"key-{put}", "value");
                puts.Add((begin, SyncTrace.Now()));
            }

            IReadOnlyList<TracedSync>[] syncs = await Task.WhenAll(traces.Select(trace => trace.StopAsync()));
            int[] synced = [.. puts.Select(put => SyncTrace.SyncedWithin(syncs, put.Begin, put.End))];
            output.WriteLine($"syncs seen at each node: {string.Join(", ", syncs.Select(node => node.Count))}; nodes that synced before each acknowledgement: {string.Join(' ', synced)}");
            synced.Should().OnlyContain(nodes => nodes >= 2);
        }
        finally
        {
            foreach (SyncTrace trace in traces)
            {
                await trace.DisposeAsync();
            }
        }
    }

    [Fact]
    public void Only_a_sync_that_began_and_ended_within_the_put_counts()
    {
        IReadOnlyList<TracedSync> syncs = SyncTrace.Parse(
        [
            "41 100.000010 fdatasync(7) = 0 <0.000020>",
            "42 100.000040 fdatasync(7 <unfinished ...>",
            "43 100.000045 fdatasync(8) = -1 EIO (Input/output error) <0.000001>",
            "42 100.000070 <... fdatasync resumed>) = 0 <0.000030>",
            "42 100.000090 fdatasync(7 <unfinished ...>",
        ]);
        syncs.Should().Equal(new TracedSync(100_000_010, 100_000_030), new TracedSync(100_000_040, 100_000_070));
        SyncTrace.SyncedWithin([syncs, syncs, []], 100_000_040, 100_000_070).Should().Be(2);
        SyncTrace.SyncedWithin([syncs], 100_000_011, 100_000_069).Should().Be(0, "one began before, the other ended after");
    }
}
