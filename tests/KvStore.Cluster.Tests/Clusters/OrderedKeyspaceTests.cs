using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Clusters;

[Collection(ClusterCollection.Name)]
public sealed class OrderedKeyspaceTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    private readonly KvTestCluster _cluster = nodes.Cluster;

    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Theory]
    [InlineData(Replication.Sync)]
    [InlineData(Replication.Async)]
    [InlineData(Replication.BestEffort)]
    public async Task What_was_put_is_read_back_through_every_node(Replication replication)
    {
        string name = nodes.NewName("basic");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, replication);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        for (int i = 0; i < 40; i++)
        {
            KvWriteResult written = await keyspace.PutAsync($"key-{i}", $"value-{i}");
            written.Outcome.Should().Be(KvOutcome.Done);
        }

        foreach (KvTestNode node in _cluster.Nodes)
        {
            for (int i = 0; i < 40; i++)
            {
                KvNodeAnswer answer = await node.Client.GetAsync(name, $"key-{i}");
                answer.Value.Should().Be($"value-{i}", answer.Reason);
            }
        }

        await keyspace.DeleteAsync("key-7");
        (await keyspace.GetAsync<string>("key-7")).Should().BeNull();
        var keys = new List<string>();
        await foreach (KvEntry<string> entry in keyspace.ScanAsync<string>(KvRange.Prefix("key-")))
        {
            keys.Add(entry.Key.ToString());
        }

        keys.Should().HaveCount(39).And.BeInAscendingOrder(StringComparer.Ordinal);
    }

    [Fact]
    public async Task Scenario_45_A_comparison_holds_once_and_then_fails_with_the_current_version()
    {
        string name = nodes.NewName("cas");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        KvWriteResult created = await keyspace.TryPutAsync("k", "1", KvVersion.Absent);
        created.Outcome.Should().Be(KvOutcome.Done);
        (await keyspace.TryPutAsync("k", "again", KvVersion.Absent)).Code.Should().Be(KvCode.ConditionFailed);
        (await keyspace.TryPutAsync("k", "2", created.Version)).Outcome.Should().Be(KvOutcome.Done);
        (await keyspace.TryPutAsync("k", "3", created.Version)).Outcome.Should().Be(KvOutcome.NotDone);
        (await keyspace.GetAsync<string>("k"))!.Value.Should().Be("2");
        (await keyspace.TryPutAsync("other", "x", created.Version)).Outcome.Should().Be(KvOutcome.NotDone, "a version of another key is no version of this one");
    }

    [Fact]
    public async Task The_minority_refuses_within_two_seconds_and_the_majority_goes_on()
    {
        string name = nodes.NewName("split");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        await keyspace.PutAsync("k", "before");
        await _cluster.WaitUntilAsync("node 1 has the write", async () => (await _cluster.ClientOf(1).GetAsync(name, "k", ReadLevel.Eventual)).Value == "before");

        await _cluster.IsolateAsync(1);
        long cut = TimeProvider.System.GetTimestamp();
        await _cluster.WaitUntilAsync("node 1 refuses for want of a quorum", async () => (await _cluster.ClientOf(1).PutAsync(name, "k", "minority")).Code == Code.NoQuorum);
        output.WriteLine($"the minority refused {TimeProvider.System.GetElapsedTime(cut).TotalMilliseconds:0} ms after the cut");
        KvNodeAnswer refused = await _cluster.ClientOf(1).PutAsync(name, "k", "minority");
        refused.Outcome.Should().Be(Outcome.NotDone);
        refused.Took.Should().BeLessThan(TimeSpan.FromSeconds(2));
        refused.Reason.Should().Contain("n2").And.Contain("n3");
        refused.Missing.Select(missing => missing.Node).Should().BeEquivalentTo([2U, 3U]);
        (await _cluster.ClientOf(1).GetAsync(name, "k")).Code.Should().Be(Code.NoQuorum);
        (await _cluster.ClientOf(1).GetAsync(name, "k", ReadLevel.Eventual)).Value.Should().Be("before", "who asks for a stale answer gets one");

        await keyspace.PutAsync("k", "majority");
        output.WriteLine($"the majority wrote {TimeProvider.System.GetElapsedTime(cut).TotalMilliseconds:0} ms after the cut");
        await _cluster.HealAsync();
        await _cluster.WaitUntilAsync("node 1 reads what the majority wrote", async () => (await _cluster.ClientOf(1).GetAsync(name, "k")).Value == "majority");
    }

    [Fact]
    public async Task An_isolated_leader_never_answers_a_linearizable_read_with_an_old_value()
    {
        string name = nodes.NewName("stale");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        IKvKeyspace keyspace = _cluster.Client.Keyspace(name);
        await keyspace.PutAsync("k", "old");
        uint leader = (await _cluster.ReplicasAsync(name))[0].Leader;

        await _cluster.IsolateAsync(leader);
        using var stop = new CancellationTokenSource();
        var answers = new System.Collections.Concurrent.ConcurrentQueue<(long At, KvNodeAnswer Answer)>();
        Task reader = ReadAllTheTimeAsync(_cluster.ClientOf(leader), name, answers, stop.Token);
        await keyspace.PutAsync("k", "new");
        long written = TimeProvider.System.GetTimestamp();
        await _cluster.WaitUntilAsync("the old leader was asked after the new write", () => Task.FromResult(answers.Count(answer => answer.At > written) >= 20));
        await stop.CancelAsync();
        await reader;
        answers.Should().NotContain(answer => answer.At > written && answer.Answer.IsDone && answer.Answer.Value != "new");
        IReadOnlyList<ReplicaStatus> replicas = await _cluster.ReplicasAsync(name);
        replicas.Where(replica => replica.Role == "leader").MaxBy(replica => replica.Term)!.Leader.Should().NotBe(leader);
    }

    [Fact]
    public async Task The_same_request_sent_twice_has_one_effect()
    {
        string name = nodes.NewName("dedup");
        await _cluster.CreateKeyspaceAsync(name, PartitionPolicy.Cp, Replication.Sync, shards: 1);
        using Grpc.Net.Client.GrpcChannel channel = Grpc.Net.Client.GrpcChannel.ForAddress($"http://{_cluster.Node(2).Address}");
        var kv = new Kv.KvClient(channel);
        PutRequest Request(string value) => new()
        {
            Keyspace = name,
            Key = Google.Protobuf.ByteString.CopyFromUtf8("k"),
            Value = Google.Protobuf.ByteString.CopyFromUtf8(value),
            Request = new RequestId { Session = 77, Sequence = 1 },
        };
        Result first = await kv.PutAsync(Request("once"));
        await _cluster.Client.Keyspace(name).PutAsync("k", "newer");
        Result repeated = await kv.PutAsync(Request("once"));
        repeated.Version.Should().Equal(first.Version);
        (await _cluster.Client.Keyspace(name).GetAsync<string>("k"))!.Value.Should().Be("newer", "a retry is answered, not executed again");
        Func<Task> reused = async () => await kv.PutAsync(Request("different"));
        (await reused.Should().ThrowAsync<Grpc.Core.RpcException>()).Which.StatusCode.Should().Be(Grpc.Core.StatusCode.InvalidArgument);
    }

    private static async Task ReadAllTheTimeAsync(
        KvNodeClient client, string keyspace, System.Collections.Concurrent.ConcurrentQueue<(long At, KvNodeAnswer Answer)> answers, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            long at = TimeProvider.System.GetTimestamp();
            answers.Enqueue((at, await client.GetAsync(keyspace, "k", ReadLevel.Linearizable, CancellationToken.None)));
        }
    }
}
