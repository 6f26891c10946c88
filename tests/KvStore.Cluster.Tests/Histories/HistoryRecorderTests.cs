using FluentAssertions;
using KvStore.TestKit.Histories;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace KvStore.Cluster.Tests.Histories;

public sealed class HistoryRecorderTests
{
    private readonly FakeTimeProvider _clock = new();

    [Fact]
    public void An_operation_is_recorded_with_order_and_times()
    {
        var recorder = new HistoryRecorder(_clock);
        _clock.Advance(TimeSpan.FromMilliseconds(5));
        var put = recorder.Begin("c1", RecordedKind.Put, "k", "v");
        _clock.Advance(TimeSpan.FromMilliseconds(2));
        put.Done();
        recorder.Begin("c1", RecordedKind.Get, "k").Done("v");

        var operations = recorder.ToHistory().Operations;

        operations[0].Should().BeEquivalentTo(new { Client = "c1", Key = "k", Kind = RecordedKind.Put, Input = "v", Outcome = RecordedOutcome.Done });
        operations[0].InvokedAt.Should().Be(TimeSpan.FromMilliseconds(5));
        operations[0].ReturnedAt.Should().Be(TimeSpan.FromMilliseconds(7));
        operations[0].ReturnOrder.Should().BeLessThan(operations[1].InvokeOrder);
        operations[1].Values.Should().Equal("v");
    }

    [Fact]
    public void Each_way_to_end_is_recorded()
    {
        var recorder = new HistoryRecorder(_clock);
        recorder.Begin("c", RecordedKind.Get, "k").Done((string?)null);
        recorder.Begin("c", RecordedKind.Get, "k").Done(["a", "b"]);
        recorder.Begin("c", RecordedKind.Put, "k", "x").NotDone();
        recorder.Begin("c", RecordedKind.CompareAndSet, "k", "x", expected: "y").Mismatched();
        recorder.Begin("c", RecordedKind.Delete, "k", context: ["a"]).Unknown();
        recorder.Begin("c", RecordedKind.Put, "k", "z");

        var operations = recorder.ToHistory().Operations;

        operations.Select(operation => operation.Outcome).Should().Equal(
            RecordedOutcome.Done, RecordedOutcome.Done, RecordedOutcome.NotDone, RecordedOutcome.Mismatched, RecordedOutcome.Unknown, RecordedOutcome.Unknown);
        operations[1].Values.Should().Equal("a", "b");
        operations[4].Context.Should().Equal("a");
        operations[5].ReturnOrder.Should().Be(RecordedOperation.NeverReturned);
        recorder.Count.Should().Be(6);
    }

    [Fact]
    public void An_operation_ends_once()
    {
        var get = new HistoryRecorder().Begin("c", RecordedKind.Get, "k");
        get.Done("v");

        get.Invoking(operation => operation.Unknown()).Should().Throw<InvalidOperationException>().WithMessage("*already ended*");
    }

    [Fact]
    public void Only_a_compare_and_set_can_mismatch() => new HistoryRecorder().Begin("c", RecordedKind.Put, "k", "v")
        .Invoking(operation => operation.Mismatched()).Should().Throw<InvalidOperationException>();

    [Fact]
    public async Task Concurrent_clients_of_an_atomic_register_record_a_linearizable_history()
    {
        var recorder = new HistoryRecorder();
        var register = "";
        var clients = Enumerable.Range(0, 4).Select(client => Task.Run(() =>
        {
            for (var i = 0; i < 200; i++)
            {
                var get = recorder.Begin($"c{client}", RecordedKind.Get, "k");
                var seen = Volatile.Read(ref register);
                get.Done(seen.Length == 0 ? null : seen);
                var put = recorder.Begin($"c{client}", RecordedKind.Put, "k", $"{client}.{i}");
                Volatile.Write(ref register, $"{client}.{i}");
                put.Done();
            }
        }));
        await Task.WhenAll(clients);

        var result = LinearizabilityChecker.Check(recorder.ToHistory(), cancel: TestContext.Current.CancellationToken);

        recorder.Count.Should().Be(1_600);
        result.Verdict.Should().Be(LinearizabilityVerdict.Linearizable, result.Explanation);
    }
}
