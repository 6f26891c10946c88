using FluentAssertions;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

public sealed class HybridClockTests
{
    [Fact]
    public void Timestamps_only_grow_even_when_the_wall_clock_steps_back()
    {
        HybridClock clock = new();
        HybridTimestamp first = clock.Now(1_000);
        HybridTimestamp second = clock.Now(400);
        second.Should().BeGreaterThan(first);
        second.PhysicalMs.Should().Be(1_000);
    }

    [Fact]
    public void More_events_than_the_counter_holds_within_one_millisecond_borrow_the_next()
    {
        HybridClock clock = new(new HybridTimestamp((1_000ul << 16) | 0xFFFF));
        clock.Now(1_000).Should().Be(HybridTimestamp.FromPhysical(1_001));
    }

    [Fact]
    public void A_learned_timestamp_is_below_the_next_one_handed_out()
    {
        HybridClock clock = new();
        HybridTimestamp theirs = HybridTimestamp.FromPhysical(1_400);
        clock.Observe(theirs, physicalMs: 1_000, maxDriftMs: 500).Should().BeTrue();
        clock.Now(1_001).Should().BeGreaterThan(theirs);
    }

    [Fact]
    public void C17_a_timestamp_far_ahead_is_taken_without_advancing_the_own_clock()
    {
        HybridClock clock = new();
        HybridTimestamp before = clock.Now(1_000);
        clock.Observe(HybridTimestamp.FromPhysical(3_600_000), physicalMs: 1_000, maxDriftMs: 500).Should().BeFalse();
        clock.Last.Should().Be(before);
    }

    [Fact]
    public void A_physical_clock_that_had_run_ahead_and_was_set_right_is_not_followed_for_as_long_as_it_was_wrong()
    {
        HybridClock clock = new();
        clock.Now(3_600_000, 500).PhysicalMs.Should().Be(3_600_000);
        HybridTimestamp right = clock.Now(1_000, 500);
        right.PhysicalMs.Should().Be(1_000);
        HybridTimestamp next = clock.Now(1_000, 500);
        next.Should().BeGreaterThan(right);
        clock.Now(999, 500).Should().BeGreaterThan(next, "within the bound it only grows");
        clock.Now(3_600_001, 500).PhysicalMs.Should().Be(3_600_001);
    }
    [Fact]
    public void Within_the_bound_it_is_followed_and_goes_on_from_there()
    {
        HybridClock clock = new();
        HybridTimestamp first = clock.Now(1_000, 500);
        clock.Last.Should().Be(first, "what was handed out within the bound counts as any other");

        HybridTimestamp theirs = HybridTimestamp.FromPhysical(1_500);
        clock.Observe(theirs, physicalMs: 1_000, maxDriftMs: 500);
        clock.Now(1_000, 500).Should().BeGreaterThan(theirs, "it is ahead by no more than the bound");
    }

    [Fact]
    public void Past_the_bound_it_grows_as_long_as_it_stays_within()
    {
        HybridClock clock = new();
        clock.Now(3_600_000);
        HybridTimestamp ahead = clock.Now(1_500, 500);
        HybridTimestamp next = clock.Now(1_000, 500);
        next.Should().BeGreaterThan(ahead, "exactly as far ahead as may be");
        clock.Now(999, 500).PhysicalMs.Should().Be(999, "now it would be too far");
    }
}
