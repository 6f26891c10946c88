using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

public sealed class PersistTrackerTests
{
    private readonly PersistTracker _tracker = new(new LogIndex(1));

    [Fact]
    public void An_acknowledgement_stands_for_the_batches_before_it()
    {
        HandOut(2, 1);
        HandOut(5, 1);

        Persisted(5, 1).Should().BeTrue();

        _tracker.Stable.Should().Be(new LogIndex(5));
    }

    [Fact]
    public void A_late_acknowledgement_does_not_count_for_an_entry_that_was_replaced_and_came_back()
    {
        HandOut(2, 1);
        _tracker.OnTruncated(new LogIndex(2));
        HandOut(2, 2);
        _tracker.OnTruncated(new LogIndex(2));
        HandOut(2, 1);

        Persisted(2, 1);
        _tracker.Stable.Should().Be(new LogIndex(1));
        Persisted(2, 2);
        _tracker.Stable.Should().Be(new LogIndex(1));
        Persisted(2, 1);
        _tracker.Stable.Should().Be(new LogIndex(2));
    }

    [Fact]
    public void What_was_durable_is_not_any_more_once_it_is_replaced()
    {
        HandOut(4, 1);
        Persisted(4, 1);
        _tracker.OnTruncated(new LogIndex(3));

        _tracker.Stable.Should().Be(new LogIndex(2));
        _tracker.HandedOut.Should().Be(new LogIndex(2));
    }

    [Fact]
    public void An_acknowledgement_from_before_a_snapshot_is_not_taken_for_one_behind_it()
    {
        HandOut(12, 5);
        _tracker.OnReset(new LogIndex(10));
        HandOut(12, 5);

        Persisted(12, 5);
        _tracker.Stable.Should().Be(new LogIndex(10));
        Persisted(12, 5);
        _tracker.Stable.Should().Be(new LogIndex(12));
    }

    [Fact]
    public void An_unknown_acknowledgement_is_void()
    {
        HandOut(3, 1);

        Persisted(3, 2).Should().BeFalse();
        _tracker.Stable.Should().Be(new LogIndex(1));
    }

    [Fact]
    public void Nothing_is_handed_out_twice()
    {
        HandOut(3, 1);

        FluentActions.Invoking(() => HandOut(3, 1)).Should().Throw<InvariantViolationException>();
    }

    private void HandOut(ulong index, ulong term) => _tracker.OnHandedOut(new LogIndex(index), new Term(term));

    private bool Persisted(ulong index, ulong term) => _tracker.OnPersisted(new LogIndex(index), new Term(term));
}
