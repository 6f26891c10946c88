using FluentAssertions;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

/// <summary>Adaptive keyspaces on five real nodes, two of which are cut off. Scenarios 64 and 65.</summary>
[Collection(ClusterCollection.Name)]
public sealed class AdaptiveTests(FiveNodes nodes, ITestOutputHelper output) : IClassFixture<FiveNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task What_a_minority_wrote_provisionally_is_merged_and_the_majority_stays_linearizable()
    {
        (string name, uint[] minority, uint[] majority) = await SplitAsync();
        KvNodeClient left = _cluster.ClientOf(minority[0]), right = _cluster.ClientOf(majority[0]);
        var recorder = new HistoryRecorder();
        using var ending = new CancellationTokenSource();
        Task traffic = Task.WhenAll(majority.Select(node => RecordAsync(recorder, node, name, ending.Token)));

        KvNodeAnswer alone = await left.PutAsync(name, "quiet", "minority");
        (alone.Outcome, alone.Regime, alone.Acknowledgements).Should().Be((Outcome.Done, Regime.Provisional, 2), alone.Reason);
        (await left.PutAsync(name, "busy", "minority")).Regime.Should().Be(Regime.Provisional);
        (await right.PutAsync(name, "busy", "majority")).Regime.Should().Be(Regime.Ordered);
        KvNodeAnswer read = await _cluster.ClientOf(minority[1]).GetAsync(name, "quiet");
        (read.Value, read.Regime).Should().Be(("minority", Regime.Provisional), "the two share what they take");
        KvNodeAnswer refused = await left.TryPutAsync(name, "lock", "me", ByteString.Empty);
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, Code.ProvisionalRefused));
        refused.Reason.Should().Contain("majority");

        await MergeAsync(name);
        await ending.CancelAsync();
        await traffic;

        foreach (KvTestNode node in _cluster.Nodes)
        {
            KvNodeAnswer quiet = await node.Client.GetAsync(name, "quiet");
            (quiet.Value, quiet.Regime).Should().Be(("minority", Regime.Ordered), $"at node {node.Id} {quiet.Reason}");
            (await node.Client.GetAsync(name, "busy")).Values.Should().Equal(["majority", "minority"], $"at node {node.Id}");
        }

        LinearizabilityResult checkedHistory = LinearizabilityChecker.Check(recorder.ToHistory());
        output.WriteLine($"{recorder.Count} operations on the majority's side: {checkedHistory}");
        checkedHistory.Verdict.Should().Be(LinearizabilityVerdict.Linearizable);
    }

    [Fact]
    public async Task A_provisional_write_that_is_retried_on_the_majoritys_side_has_one_effect()
    {
        (string name, uint[] minority, uint[] majority) = await SplitAsync();
        (await PutAsync(minority[0], name, sequence: 1, "once")).Regime.Should().Be(Regime.Provisional);
        (await PutAsync(majority[0], name, sequence: 1, "once")).Regime.Should().Be(Regime.Ordered, "the majority has not heard of it");
        (await PutAsync(minority[0], name, sequence: 2, "other", key: "merged")).Regime.Should().Be(Regime.Provisional);
        (await _cluster.ClientOf(majority[0]).PutAsync(name, "k", "newer")).IsDone.Should().BeTrue();

        await MergeAsync(name);

        Result again = await PutAsync(majority[0], name, sequence: 2, "other", key: "merged");
        (again.Outcome, again.Regime).Should().Be((Outcome.Done, Regime.Ordered), "a retry after the merge is answered from memory");
        (await _cluster.ClientOf(majority[0]).GetAsync(name, "k")).Values.Should().Equal(["newer"], "the merge does not bring the first attempt back");
        (await _cluster.ClientOf(majority[0]).GetAsync(name, "merged")).Values.Should().Equal(["other"]);
    }

    [Fact]
    public async Task What_a_minority_wrote_provisionally_is_kept_when_the_keyspace_is_altered_to_ap_meanwhile_and_back_to_adaptive()
    {
        (string name, uint[] minority, uint[] majority) = await SplitAsync();
        (await PutAsync(minority[0], name, sequence: 1, "minority")).Regime.Should().Be(Regime.Provisional);
        (await PutAsync(minority[0], name, sequence: 2, "twice", key: "retried")).Regime.Should().Be(Regime.Provisional);
        (await PutAsync(majority[0], name, sequence: 2, "twice", key: "retried")).Regime.Should().Be(Regime.Ordered, "the majority has not heard of it");
        (await _cluster.ClientOf(majority[0]).PutAsync(name, "retried", "newer")).IsDone.Should().BeTrue();

        await using IKvClient client = KvClient.Create($"http://{_cluster.Node(majority[0]).Address}");
        await client.Admin.AlterKeyspaceAsync(name, new KvKeyspaceChange { Policy = PartitionPolicy.Ap });
        KeyspaceProgress opened = await client.Admin.WaitForAlterationAsync(name, TimeSpan.FromSeconds(30));
        (opened.Done, opened.Shards[0].Unbound.Order().SequenceEqual(minority.Order())).Should().Be((true, true), "the minority has not heard of it");
        (await _cluster.ClientOf(minority[1]).PutAsync(name, "late", "still provisional")).Regime.Should().Be(Regime.Provisional);
        await nodes.HealAsync();
        await _cluster.WaitUntilAsync(
            "every overlay is absorbed and every replica open",
            async () => (await _cluster.ReplicasAsync(name)) is { Count: 5 } replicas && replicas.All(replica => replica is { OverlayKeys: 0, Regime: Regime.Open, Recovering: false }));
        await _cluster.WaitUntilConvergedAsync(name);
        foreach (KvTestNode node in _cluster.Nodes)
        {
            (await node.Client.GetAsync(name, "k")).Values.Should().Equal(["minority"], $"at node {node.Id}");
            (await node.Client.GetAsync(name, "late")).Values.Should().Equal(["still provisional"], $"at node {node.Id}");
            (await node.Client.GetAsync(name, "retried")).Values.Should().Equal(["newer"], $"at node {node.Id}: a request that the log has applied has no second effect");
        }

        await _cluster.Client.Admin.AlterKeyspaceAsync(name, new KvKeyspaceChange { Policy = PartitionPolicy.Adaptive });
        (await _cluster.Client.Admin.WaitForAlterationAsync(name, TimeSpan.FromSeconds(30))).Shards.Should().OnlyContain(shard => shard.Done && shard.Regime == Regime.Ordered);
        await _cluster.WaitUntilCaughtUpAsync(name);
        uint leader = await _cluster.LeaderOfAsync(name);
        uint cutOff = _cluster.Nodes.Select(node => node.Id).First(id => id != leader);
        await _cluster.IsolateAsync(cutOff);
        await _cluster.WaitUntilAsync(
            $"node {cutOff} serves provisionally", async () => (await _cluster.ClientOf(cutOff).GetAsync(name, "k")) is { IsDone: true, Regime: Regime.Provisional, Value: "minority" });
        await MergeAsync(name);
    }

    /// <summary>A keyspace with a replica on each node, and two nodes that don't lead cut off until they serve provisionally.</summary>
    private async Task<(string Name, uint[] Minority, uint[] Majority)> SplitAsync()
    {
        string name = nodes.NewName("adaptive");
        await _cluster.Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings
        {
            Name = name,
            Policy = PartitionPolicy.Adaptive,
            Shards = 1,
            Replicas = 5,
            ProvisionalAfter = TimeSpan.FromSeconds(1.5),
        });
        uint leader = await _cluster.LeaderOfAsync(name);
        await _cluster.WaitUntilCaughtUpAsync(name);
        uint[] minority = [.. _cluster.Nodes.Select(node => node.Id).Where(id => id != leader).Take(2)];
        uint[] majority = [.. _cluster.Nodes.Select(node => node.Id).Except(minority)];
        await _cluster.PartitionAsync(minority, majority);
        foreach (uint node in minority)
        {
            await _cluster.WaitUntilAsync(
                $"node {node} serves provisionally", async () => (await _cluster.ClientOf(node).GetAsync(name, "?")) is { IsDone: true, Regime: Regime.Provisional });
        }

        return (name, minority, majority);
    }

    private async Task MergeAsync(string name)
    {
        await nodes.HealAsync();
        await _cluster.WaitUntilAsync(
            "every overlay is merged and every replica ordered",
            async () => (await _cluster.ReplicasAsync(name)) is { Count: 5 } replicas && replicas.All(replica => replica is { OverlayKeys: 0, Regime: Regime.Ordered }));
        await _cluster.WaitUntilCaughtUpAsync(name);
    }

    private async Task RecordAsync(HistoryRecorder recorder, uint node, string name, CancellationToken end)
    {
        using var pace = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        for (int i = 0; !end.IsCancellationRequested; i++)
        {
            await pace.WaitForNextTickAsync(CancellationToken.None);
            string key = $"hot-{i % 2}";
            OperationInProgress recorded = recorder.Begin($"client of node {node}", i % 3 == 0 ? RecordedKind.Get : RecordedKind.Put, key, i % 3 == 0 ? null : $"n{node}-{i}");
            KvNodeAnswer answer = i % 3 == 0 ? await _cluster.ClientOf(node).GetAsync(name, key) : await _cluster.ClientOf(node).PutAsync(name, key, $"n{node}-{i}");
            switch (answer.Outcome)
            {
                case Outcome.Done when i % 3 == 0:
                    recorded.Done(answer.Value);
                    break;
                case Outcome.Done:
                    recorded.Done();
                    break;
                case Outcome.NotDone:
                    recorded.NotDone();
                    break;
                default:
                    recorded.Unknown();
                    break;
            }
        }
    }

    private async Task<Result> PutAsync(uint node, string keyspace, ulong sequence, string value, string key = "k")
    {
        const ulong Session = 4_711;
        using GrpcChannel channel = GrpcChannel.ForAddress($"http://{_cluster.Node(node).Address}");
        return await new Kv.KvClient(channel).PutAsync(
            new PutRequest
            {
                Keyspace = keyspace,
                Key = ByteString.CopyFromUtf8(key),
                Value = ByteString.CopyFromUtf8(value),
                Request = new RequestId { Session = Session, Sequence = sequence },
            },
            new CallOptions(deadline: DateTime.UtcNow.AddSeconds(10)));
    }
}
