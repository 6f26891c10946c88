using FluentAssertions;
using KvStore.Client;
using KvStore.Client.Connections;
using KvStore.Client.Operations;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

public sealed class PipeliningTests
{
    [Fact]
    public async Task Concurrent_puts_share_frames_and_each_gets_its_own_answer()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        cluster.Nodes[0].Script = op => new WireResult { Outcome = Outcome.Done, Version = op.Value };
        await using KvClient client = await cluster.ConnectAsync();
        IKvKeyspace ks = client.Keyspace("ks");
        await ks.PutAsync("warm", "up");
        int before = cluster.Nodes[0].Frames;

        Task<KvWriteResult>[] puts = [.. Enumerable.Range(0, 1_500).Select(i => ks.PutAsync($"k{i}", BitConverter.GetBytes(i)).AsTask())];
        KvWriteResult[] results = await Task.WhenAll(puts);

        results.Select(r => BitConverter.ToInt32(r.Version.Bytes.Span)).Should().Equal(Enumerable.Range(0, 1_500));
        (cluster.Nodes[0].Frames - before).Should().BeLessThan(500);
    }

    [Fact]
    public async Task Values_of_a_megabyte_are_cut_into_messages_that_a_node_accepts()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        cluster.Nodes[0].Script = op => new WireResult { Outcome = Outcome.Done, Acknowledgements = (uint)op.Value.Length };
        await using KvClient client = await cluster.ConnectAsync();
        IKvKeyspace ks = client.Keyspace("ks");
        byte[] value = new byte[KvLimits.MaxValueBytes];

        Task<KvWriteResult>[] puts = [.. Enumerable.Range(0, 9).Select(i => ks.PutAsync($"k{i}", value).AsTask())];
        KvWriteResult[] results = await Task.WhenAll(puts);

        results.Should().OnlyContain(r => r.Acknowledgements == KvLimits.MaxValueBytes);
    }

    [Fact]
    public async Task Beyond_the_bound_an_operation_is_refused_at_once_as_not_done()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        cluster.Nodes[0].Script = _ => null;
        KvClient client = await cluster.ConnectAsync(o => o.MaxInFlightPerNode = 8);
        IKvKeyspace ks = client.Keyspace("ks");
        ValueTask<KvWriteResult>[] held = [.. Enumerable.Range(0, 8).Select(i => ks.PutAsync($"k{i}", "v"))];

        Func<Task> ninth = async () => await ks.PutAsync("k9", "v");

        KvException failure = (await ninth.Should().ThrowAsync<KvException>()).Which;
        failure.Code.Should().Be(KvCode.Overloaded);
        failure.OutcomeUnknown.Should().BeFalse();
        failure.Phase.Should().Be(KvPhase.Queued);
        await client.DisposeAsync();
        foreach (ValueTask<KvWriteResult> put in held)
        {
            await FluentActions.Awaiting(async () => await put).Should().ThrowAsync<KvException>();
        }
    }

    [Fact]
    public async Task More_writes_than_the_request_window_holds_wait_for_their_turn()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        await using KvClient client = await cluster.ConnectAsync();
        IKvKeyspace ks = client.Keyspace("ks");

        Task<KvWriteResult>[] puts = [.. Enumerable.Range(0, 3 * RequestWindow.Size).Select(i => ks.PutAsync($"k{i}", "v").AsTask())];
        KvWriteResult[] results = await Task.WhenAll(puts);

        results.Should().OnlyContain(r => r.IsDone);
        cluster.Received.Should().OnlyContain(r => r.Operation.Sequence - r.Operation.AcknowledgedFloor <= RequestWindow.Size);
        cluster.Received.Select(r => r.Operation.Sequence).Distinct().Should().HaveCount(puts.Length);
    }

    [Fact]
    public void A_withdrawn_operation_is_skipped_by_both_codecs_and_batches_keep_to_the_limit()
    {
        Outbound outbound = new(KvLimits.MaxMessageBytes);
        List<int> offsets = [];
        for (int i = 1; i <= KvLimits.MaxBatchOperations + 3; i++)
        {
            WireOperation operation = new() { CallId = (ulong)i, Key = "k"u8.ToArray() };
            offsets.Add(outbound.Append(operation, PipelineCodec.ElementSize(PipelineCodec.OperationSize(operation))));
        }

        outbound.Withdraw(offsets[^2]);

        outbound.MessageCount.Should().Be(2);
        OperationBatch.Parser.ParseFrom(outbound.Message(0).Span).Operations.Should().HaveCount(KvLimits.MaxBatchOperations);
        OperationBatch.Parser.ParseFrom(outbound.Message(1).Span).Operations.Select(o => o.CallId).Should().Equal(1_025, 1_027);
        OperationBatchReader reader = new(outbound.Message(1));
        reader.MoveNext(out WireOperation first).Should().BeTrue();
        reader.MoveNext(out WireOperation second).Should().BeTrue();
        reader.MoveNext(out _).Should().BeFalse();
        (first.CallId, second.CallId).Should().Be((1_025UL, 1_027UL));
    }

    [Fact]
    public void A_late_answer_never_meets_the_operation_that_took_over_the_slot()
    {
        Dispatcher dispatcher = new(WithEndpoint(), TimeProvider.System, new Random(1), (_, _) => throw new InvalidOperationException("Nothing is sent here."));
        SlotTable slots = new(capacity: 1);
        KvOperation first = new(dispatcher);
        KvOperation second = new(dispatcher);
        slots.TryTake(first, out ulong firstCall);
        slots.Remove(firstCall, out _).Should().BeSameAs(first);
        slots.TryTake(second, out ulong secondCall);

        slots.Remove(firstCall, out _).Should().BeNull();
        slots.Remove(secondCall, out _).Should().BeSameAs(second);
        slots.Remove(ulong.MaxValue, out _).Should().BeNull();
    }

    [Fact]
    public async Task A_put_in_its_stride_allocates_little()
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        await using KvClient client = await cluster.ConnectAsync();
        IKvKeyspace ks = client.Keyspace("ks");
        KvKey key = "k";
        byte[] value = new byte[100];
        for (int i = 0; i < 200; i++)
        {
            await ks.PutAsync(key, value);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        ValueTask<KvWriteResult>[] puts = new ValueTask<KvWriteResult>[64];
        for (int i = 0; i < puts.Length; i++)
        {
            puts[i] = ks.PutAsync(key, value);
        }

        long perPut = (GC.GetAllocatedBytesForCurrentThread() - before) / puts.Length;
        foreach (ValueTask<KvWriteResult> put in puts)
        {
            await put;
        }

        perPut.Should().BeLessThan(1_024, "operations come from a pool; the first of a burst may have to be made");
    }

    private static KvClientOptions WithEndpoint()
    {
        KvClientOptions options = new();
        options.Endpoints.Add("http://127.0.0.1:1");
        return options;
    }
}
