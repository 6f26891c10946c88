using FluentAssertions;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Histories;

/// <summary>What the checkers find says all that a test's author needs to go on: which key, which operation, which replicas.</summary>
public sealed class FindingTests
{
    private readonly HistoryRecorder _recorder = new();

    [Fact]
    public void A_lost_write_is_named_with_its_key_and_operation()
    {
        OperationInProgress put = _recorder.Begin("alice", RecordedKind.Put, "k", "v");
        put.Recorded.Outcome.Should().Be(RecordedOutcome.Unknown, "nobody has answered yet");
        put.Done();

        AcknowledgedWriteViolation lost = AcknowledgedWriteChecker.Check(_recorder.ToHistory(), new ReplicaDump("n1")).Should().ContainSingle().Subject;
        (lost.Fault, lost.Key, lost.Operation!.Client, lost.Operation.Input).Should().Be((AcknowledgedWriteFault.Lost, "k", "alice", "v"));
        lost.Explanation.Should().Contain("k").And.Contain("v");
    }

    [Fact]
    public void A_value_from_nowhere_is_named_with_the_read_that_saw_it()
    {
        _recorder.Begin("bob", RecordedKind.Get, "k").Done("ghost");

        ProvenanceViolation invented = ProvenanceChecker.Check(_recorder.ToHistory()).Should().ContainSingle().Subject;
        (invented.Key, invented.Value, invented.Read!.Client, invented.Read.IsObservation, invented.DefiniteFailure).Should().Be(("k", "ghost", "bob", true, (RecordedOperation?)null));
        invented.Explanation.Should().Contain("ghost").And.Contain("nobody had written it");
    }

    [Fact]
    public void Replicas_that_differ_are_named_with_what_each_holds()
    {
        ConvergenceDifference difference = ConvergenceChecker.Check([new ReplicaDump("n1").Add("k", "a"), new ReplicaDump("n2").Add("k", "b")]).Differences.Should().ContainSingle().Subject;
        (difference.Key, difference.Replica, difference.OtherReplica).Should().Be(("k", "n1", "n2"));
        difference.Values.Should().Equal("a");
        difference.OtherValues.Should().Equal("b");
    }

    [Fact]
    public void A_key_that_nobody_has_touched_is_absent_or_empty_as_the_model_says() =>
        (SequentialModel.KeyValue.Initial, SequentialModel.AppendedText.Initial).Should().Be(((string?)null, ""));
}
