using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

public sealed class RoutingTests
{
    [Fact]
    public async Task A_put_goes_to_the_leader_with_its_request_id_epoch_and_deadline()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(leader: 2);
        await using KvClient client = await cluster.ConnectAsync();
        await client.Keyspace("ks").PutAsync("warm", "up");

        KvWriteResult result = await client.Keyspace("ks").PutAsync("k", "v", new KvWriteOptions { Timeout = TimeSpan.FromSeconds(5) });

        result.Outcome.Should().Be(KvOutcome.Done);
        result.Acknowledgements.Should().Be(3);
        Received received = cluster.Received.Last(r => r.Operation.Key.Span.SequenceEqual("k"u8));
        WireOperation operation = received.Operation;
        received.Node.Should().Be(2);
        operation.Kind.Should().Be(OperationKind.Put);
        operation.KeyspaceId.Should().Be(7);
        operation.Epoch.Should().Be(3);
        operation.Value.ToArray().Should().Equal("v"u8.ToArray());
        operation.Session.Should().NotBe(0);
        operation.Sequence.Should().Be(2);
        operation.AcknowledgedFloor.Should().Be(1);
        operation.TimeoutMs.Should().BeInRange(1, 5_000);
        operation.DeclineForwarding.Should().BeFalse();
    }

    [Fact]
    public async Task A_not_leader_hint_is_followed_and_remembered()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(leader: 1);
        cluster.Nodes[0].Script = _ => FakeNode.Refuse(Code.NotLeader, hint: 3);
        cluster.Nodes[1].Script = _ => FakeNode.Refuse(Code.NotLeader, hint: 3);
        await using KvClient client = await cluster.ConnectAsync();
        IKvKeyspace ks = client.Keyspace("ks");

        await ks.PutAsync("a", "1");
        int before = cluster.Received.Count();
        KvWriteResult second = await ks.PutAsync("b", "2");

        second.Node.Should().Be(3);
        (cluster.Received.Count() - before).Should().Be(1);
    }

    [Fact]
    public async Task A_follower_that_has_no_leader_is_retried_until_one_is_elected()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        int refusals = 0;
        foreach (FakeNode node in cluster.Nodes)
        {
            node.Script = op => Interlocked.Increment(ref refusals) <= 5 ? FakeNode.Refuse(Code.NoLeader) : FakeNode.Done(op);
        }

        await using KvClient client = await cluster.ConnectAsync();

        KvWriteResult result = await client.Keyspace("ks").PutAsync("k", "v");

        result.IsDone.Should().BeTrue();
        cluster.Received.Select(r => r.Operation.Sequence).Distinct().Should().ContainSingle();
    }

    [Fact]
    public async Task Everything_of_one_ap_shard_goes_to_its_first_replica_whoever_asks()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(policy: PartitionPolicy.Ap, leader: 3);
        await using KvClient client = await cluster.ConnectAsync();
        IKvKeyspace ks = client.Keyspace("ks");
        await ks.PutAsync("warm", "up");
        int before = cluster.Nodes[0].Received.Count;

        for (int i = 0; i < 10; i++)
        {
            await ks.PutAsync($"k{i}", "v");
        }

        (cluster.Nodes[0].Received.Count - before).Should().Be(10);
    }

    [Fact]
    public async Task An_unknown_keyspace_is_reported_as_not_done()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        await using KvClient client = await cluster.ConnectAsync();

        Func<Task> put = async () => await client.Keyspace("nosuch").PutAsync("k", "v");

        KvException failure = (await put.Should().ThrowAsync<KvException>()).Which;
        failure.Code.Should().Be(KvCode.UnknownKeyspace);
        failure.OutcomeUnknown.Should().BeFalse();
    }

    [Fact]
    public async Task Siblings_and_the_worth_of_the_answer_are_visible_on_an_entry()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(policy: PartitionPolicy.Ap);
        foreach (FakeNode node in cluster.Nodes)
        {
            node.Script = _ => new WireResult
            {
                Outcome = Outcome.Done,
                Found = true,
                Value = "b"u8.ToArray(),
                Version = new byte[] { 9 },
                Regime = Regime.Open,
                StalenessMs = 40,
                Siblings = [new WireSibling("a"u8.ToArray(), 1_000), new WireSibling("b"u8.ToArray(), 2_000)],
            };
        }

        await using KvClient client = await cluster.ConnectAsync();

        KvEntry<string>? entry = await client.Keyspace("ks").GetAsync<string>("k", new KvReadOptions { Level = KvReadLevel.Quorum });

        entry!.Value.Should().Be("b");
        entry.SiblingCount.Should().Be(2);
        entry.Siblings.Select(s => s.Value).Should().Equal("a", "b");
        entry.Regime.Should().Be(KvRegime.Open);
        entry.Staleness.Should().Be(TimeSpan.FromMilliseconds(40));
        entry.Version.ToString().Should().Be("09");
        cluster.Received.Last().Operation.Level.Should().Be(ReadLevel.Quorum);
    }

    [Fact]
    public async Task A_scan_merges_the_shards_in_key_order_page_by_page()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 2, shards: 3);
        string[][] keys = [["p/a", "p/d", "p/g", "p/h", "p/i"], ["p/b", "p/c"], []];
        foreach (FakeNode node in cluster.Nodes)
        {
            node.Script = op => Page(keys[op.Shard], op);
        }

        await using KvClient client = await cluster.ConnectAsync();
        List<string> seen = [];

        await foreach (KvEntry<string> entry in client.Keyspace("ks").ScanAsync<string>(KvRange.Prefix("p/"), new KvScanOptions { PageSize = 2 }))
        {
            seen.Add(entry.Key.ToString());
        }

        seen.Should().Equal("p/a", "p/b", "p/c", "p/d", "p/g", "p/h", "p/i");
        cluster.Received.Should().OnlyContain(r => r.Operation.Kind == OperationKind.Scan && r.Operation.Limit == 2);
    }

    private static WireResult? Page(string[] keys, WireOperation operation)
    {
        string after = System.Text.Encoding.UTF8.GetString(operation.After.Span);
        string[] left = [.. keys.Where(k => string.CompareOrdinal(k, after) > 0)];
        return new WireResult
        {
            Outcome = Outcome.Done,
            Items = [.. left.Take((int)operation.Limit).Select(k => new WireScanItem(System.Text.Encoding.UTF8.GetBytes(k), "v"u8.ToArray(), new byte[] { 1 }, 1))],
            More = left.Length > operation.Limit,
        };
    }
}
