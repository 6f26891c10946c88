using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

public sealed class OutcomeTests
{
    private static readonly KvWriteOptions Short = new() { Timeout = TimeSpan.FromMilliseconds(400) };

    [Fact]
    public async Task A_write_whose_stream_breaks_is_sent_again_with_the_same_request_id()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        cluster.Nodes[0].Script = op =>
        {
            cluster.Nodes[0].Abort();
            return null;
        };
        await using KvClient client = await cluster.ConnectAsync();

        KvWriteResult result = await client.Keyspace("ks").PutAsync("k", "v");

        result.IsDone.Should().BeTrue();
        result.EarlierAttemptUnanswered.Should().BeTrue();
        cluster.Received.Select(r => (r.Operation.Session, r.Operation.Sequence)).Distinct().Should().ContainSingle();
    }

    [Fact]
    public async Task A_write_that_no_node_ever_answers_is_unknown_and_was_always_sent_under_one_request_id()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        foreach (FakeNode node in cluster.Nodes)
        {
            node.Script = op =>
            {
                node.Abort();
                return null;
            };
        }

        await using KvClient client = await cluster.ConnectAsync();

        KvException failure = await FailureOf(client.Keyspace("ks").PutAsync("k", "v", Short));

        failure.OutcomeUnknown.Should().BeTrue();
        failure.Attempts.Should().BeGreaterThan(1);
        cluster.Received.Select(r => r.Operation.Sequence).Distinct().Should().ContainSingle();
    }

    [Fact]
    public async Task Scenario_45_A_conditional_write_that_is_never_answered_is_the_value_unknown()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        cluster.Nodes[0].Script = _ => null;
        await using KvClient client = await cluster.ConnectAsync();

        KvWriteResult result = await client.Keyspace("ks").TryPutAsync("k", "v", KvVersion.Absent, Short);

        result.Outcome.Should().Be(KvOutcome.Unknown);
        result.Code.Should().Be(KvCode.DeadlineExceeded);
        cluster.Received.First().Operation.Condition.Should().Be(WriteCondition.IfAbsent);
    }

    [Fact]
    public async Task A_condition_that_does_not_hold_is_a_value_and_any_other_refusal_is_an_exception()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        cluster.Nodes[0].Script = _ => FakeNode.Refuse(Code.ConditionFailed, retryable: false);
        await using KvClient client = await cluster.ConnectAsync();
        KvWriteResult result = await client.Keyspace("ks").TryDeleteAsync("k", new KvVersion(new byte[] { 1 }));

        cluster.Nodes[0].Script = _ => FakeNode.Refuse(Code.DiskLow, retryable: false);
        KvException failure = await FailureOf(client.Keyspace("ks").TryPutAsync("k", "v", KvVersion.Absent));

        result.Outcome.Should().Be(KvOutcome.NotDone);
        result.Code.Should().Be(KvCode.ConditionFailed);
        failure.Code.Should().Be(KvCode.DiskLow);
        failure.OutcomeUnknown.Should().BeFalse();
        failure.Phase.Should().Be(KvPhase.Server);
        failure.Message.Should().Contain("scripted DiskLow").And.Contain("had no effect");
    }

    [Fact]
    public async Task A_refusal_does_not_settle_an_earlier_attempt_that_was_sent()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        cluster.Nodes[0].Script = op =>
        {
            cluster.Nodes[0].Abort();
            cluster.Nodes[0].Script = _ => FakeNode.Refuse(Code.NoQuorum);
            return null;
        };
        cluster.Nodes[1].Script = _ => FakeNode.Refuse(Code.NoQuorum);
        cluster.Nodes[2].Script = _ => FakeNode.Refuse(Code.NoQuorum);
        await using KvClient client = await cluster.ConnectAsync();

        KvException failure = await FailureOf(client.Keyspace("ks").PutAsync("k", "v"));

        failure.Code.Should().Be(KvCode.NoQuorum);
        failure.OutcomeUnknown.Should().BeTrue();
    }

    [Fact]
    public async Task Without_a_quorum_each_replica_is_asked_once_and_the_refusal_is_reported_early_as_not_done()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        foreach (FakeNode node in cluster.Nodes)
        {
            node.Script = _ => FakeNode.Refuse(Code.NoQuorum);
        }

        await using KvClient client = await cluster.ConnectAsync();
        Stopwatch watch = Stopwatch.StartNew();

        KvException failure = await FailureOf(client.Keyspace("ks").PutAsync("k", "v"));

        failure.Code.Should().Be(KvCode.NoQuorum);
        failure.OutcomeUnknown.Should().BeFalse();
        cluster.Nodes.Should().OnlyContain(n => n.Received.Count == 1);
        watch.Elapsed.Should().BeLessThan(TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task Another_replica_may_have_the_majority()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        cluster.Nodes[0].Script = _ => FakeNode.Refuse(Code.NoQuorum);
        await using KvClient client = await cluster.ConnectAsync();

        (await client.Keyspace("ks").PutAsync("k", "v")).Node.Should().NotBe(1);
    }

    [Fact]
    public async Task Without_a_quorum_the_deadline_is_used_up_only_on_request()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        cluster.Nodes[0].Script = _ => FakeNode.Refuse(Code.NoQuorum);
        await using KvClient client = await cluster.ConnectAsync();

        KvException failure = await FailureOf(client.Keyspace("ks").PutAsync("k", "v", Short with { RetryNoQuorumUntilDeadline = true }));

        failure.Code.Should().Be(KvCode.NoQuorum);
        failure.OutcomeUnknown.Should().BeFalse();
        failure.Attempts.Should().BeGreaterThan(2);
    }

    [Fact]
    public async Task When_no_node_can_be_reached_a_write_is_certainly_not_done()
    {
        using Socket reserved = new(SocketType.Stream, ProtocolType.Tcp);
        reserved.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        await using KvClient client = KvClient.Create($"http://{reserved.LocalEndPoint}");

        KvException failure = await FailureOf(client.Keyspace("ks").PutAsync("k", "v", Short));

        failure.OutcomeUnknown.Should().BeFalse();
        failure.Phase.Should().Be(KvPhase.Connecting);
        failure.Attempts.Should().Be(0);
    }

    [Fact]
    public async Task A_silent_node_costs_one_attempt_not_the_whole_deadline()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync();
        cluster.Nodes[0].Script = _ => null;
        await using KvClient client = await cluster.ConnectAsync(o => o.AttemptTimeout = TimeSpan.FromMilliseconds(100));

        KvWriteResult result = await client.Keyspace("ks").PutAsync("k", "v");

        result.IsDone.Should().BeTrue();
        cluster.Received.Select(r => r.Operation.Sequence).Distinct().Should().ContainSingle();
    }

    [Fact]
    public async Task A_read_that_is_not_answered_ends_at_its_deadline_and_is_not_called_unknown()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        cluster.Nodes[0].Script = _ => null;
        await using KvClient client = await cluster.ConnectAsync();

        Func<Task> get = async () => await client.Keyspace("ks").GetAsync<string>("k", new KvReadOptions { Timeout = TimeSpan.FromMilliseconds(200) });

        KvException failure = (await get.Should().ThrowAsync<KvException>()).Which;
        failure.Code.Should().Be(KvCode.DeadlineExceeded);
        failure.OutcomeUnknown.Should().BeFalse();
    }

    [Fact]
    public async Task Canceling_stops_the_waiting()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        cluster.Nodes[0].Script = _ => null;
        await using KvClient client = await cluster.ConnectAsync();
        using CancellationTokenSource source = new();

        ValueTask<KvWriteResult> put = client.Keyspace("ks").PutAsync("k", "v", cancellationToken: source.Token);
        await source.CancelAsync();

        await FluentActions.Awaiting(async () => await put).Should().ThrowAsync<OperationCanceledException>();
    }

    [Fact]
    public async Task Disposing_ends_what_is_under_way_and_says_that_a_sent_write_is_unknown()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        TaskCompletionSource arrived = new(TaskCreationOptions.RunContinuationsAsynchronously);
        cluster.Nodes[0].Script = _ =>
        {
            arrived.TrySetResult();
            return null;
        };
        KvClient client = await cluster.ConnectAsync();
        ValueTask<KvWriteResult> put = client.Keyspace("ks").PutAsync("k", "v");
        await arrived.Task.WaitAsync(TimeSpan.FromSeconds(30));

        await client.DisposeAsync();

        KvException failure = await FailureOf(put);
        failure.Code.Should().Be(KvCode.ShuttingDown);
        failure.OutcomeUnknown.Should().BeTrue();
    }

    private static async Task<KvException> FailureOf(ValueTask<KvWriteResult> write)
    {
        Func<Task> act = async () => await write;
        return (await act.Should().ThrowAsync<KvException>()).Which;
    }
}
