using FluentAssertions;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

public sealed class HybridTimestampTests
{
    [Fact]
    public void Milliseconds_stand_above_the_counter()
    {
        HybridTimestamp timestamp = HybridTimestamp.FromPhysical(1_000).Next;
        timestamp.PhysicalMs.Should().Be(1_000);
        timestamp.Counter.Should().Be(1);
        new HybridTimestamp((7ul << 16) | 0xFFFF).Next.Should().Be(HybridTimestamp.FromPhysical(8));
        new HybridTimestamp((7ul << 16) | 0xFFFF).Counter.Should().Be(0xFFFF);
    }

    [Fact]
    public void Milliseconds_outside_48_bits_are_misuse()
    {
        HybridTimestamp.FromPhysical(0).Should().Be(HybridTimestamp.Zero);
        HybridTimestamp.FromPhysical(HybridTimestamp.MaxPhysicalMs).PhysicalMs.Should().Be((1L << 48) - 1);
        FluentActions.Invoking(() => HybridTimestamp.FromPhysical(-1)).Should().Throw<ArgumentOutOfRangeException>();
        FluentActions.Invoking(() => HybridTimestamp.FromPhysical(HybridTimestamp.MaxPhysicalMs + 1)).Should().Throw<ArgumentOutOfRangeException>();
    }

    [Fact]
    public void There_is_no_timestamp_above_the_last_one()
        => FluentActions.Invoking(() => new HybridTimestamp(ulong.MaxValue).Next).Should().Throw<OverflowException>();

    [Fact]
    public void The_order_is_that_of_time_then_counter()
    {
        HybridTimestamp one = new(1), two = new(2);
        (one < two, two < one, one < new HybridTimestamp(1)).Should().Be((true, false, false));
        (one > two, two > one, one > new HybridTimestamp(1)).Should().Be((false, true, false));
        (one <= two, two <= one, one <= new HybridTimestamp(1)).Should().Be((true, false, true));
        (one >= two, two >= one, one >= new HybridTimestamp(1)).Should().Be((false, true, true));
        one.CompareTo(two).Should().BeNegative();
    }

    [Fact]
    public void A_clock_that_stands_still_counts_on_and_one_that_moves_starts_at_zero()
    {
        HybridClock clock = new();
        clock.Now(5).Should().Be(HybridTimestamp.FromPhysical(5));
        clock.Now(5).Should().Be(HybridTimestamp.FromPhysical(5).Next);
        clock.Now(6).Should().Be(HybridTimestamp.FromPhysical(6));
    }

    [Fact]
    public void A_timestamp_exactly_at_the_drift_is_learned_and_an_older_one_changes_nothing()
    {
        HybridClock clock = new();
        clock.Observe(HybridTimestamp.FromPhysical(1_500), physicalMs: 1_000, maxDriftMs: 500).Should().BeTrue();
        clock.Last.Should().Be(HybridTimestamp.FromPhysical(1_500));
        clock.Observe(HybridTimestamp.FromPhysical(1_501), physicalMs: 1_000, maxDriftMs: 500).Should().BeFalse();
        clock.Observe(HybridTimestamp.FromPhysical(1_400), physicalMs: 1_000, maxDriftMs: 500).Should().BeTrue();
        clock.Last.Should().Be(HybridTimestamp.FromPhysical(1_500));
    }
}
