using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

public sealed class ShardClockTests
{
    private static readonly ActorId Alice = VersioningGen.Actors[1];
    private static readonly ActorId Bob = VersioningGen.Actors[2];

    [Fact]
    public void The_base_vector_is_the_same_instance_until_a_base_moves()
    {
        ShardClock clock = Clock(Alice, 1, 2);
        VersionVector before = clock.BaseVector;
        clock.Add(new Dot(Alice, 2));
        clock.Add(new Dot(Alice, 5));
        clock.AdvanceBase(Alice, 2);
        clock.BaseVector.Should().BeSameAs(before);

        clock.Add(new Dot(Alice, 3));
        clock.BaseVector.Should().Be(VersionVector.Of(new Dot(Alice, 3)));
    }

    [Fact]
    public void It_has_gaps_while_something_was_seen_above_what_was_not()
    {
        ShardClock clock = Clock(Alice, 1, 2);
        clock.HasGaps.Should().BeFalse();
        clock.Add(new Dot(Bob, 2));
        clock.HasGaps.Should().BeTrue();
        clock.Add(new Dot(Bob, 1));
        clock.HasGaps.Should().BeFalse();
        new ShardClock().HasGaps.Should().BeFalse();
    }

    [Fact]
    public void A_copy_without_an_actor_says_all_of_the_others()
    {
        ShardClock clock = Clock(Alice, 1, 2);
        clock.Join(Clock(Bob, 1, 3));
        clock.Without(Alice).Should().Be(Clock(Bob, 1, 3));
        clock.Without(VersioningGen.Actors[3]).Should().Be(clock);
    }

    [Fact]
    public void The_base_vector_follows_the_log_joins_and_copies()
    {
        ShardClock clock = Clock(Alice, 1);
        clock.BaseVector[Alice].Should().Be(1);
        clock.AdvanceBase(ActorId.Log, 7);
        clock.BaseVector[ActorId.Log].Should().Be(7);

        clock.Join(Clock(Bob, 1, 2));
        clock.BaseVector[Bob].Should().Be(2);

        ShardClock copy = clock.Clone();
        copy.BaseVector.Should().BeSameAs(clock.BaseVector);
        copy.Add(new Dot(Bob, 3));
        clock.BaseOf(Bob).Should().Be(2);
        ShardClock.Intersect(copy, clock).BaseVector.Should().Be(clock.BaseVector);
    }

    [Fact]
    public void A_row_without_a_base_is_not_in_the_base_vector()
        => Clock(Alice, 2, 3).BaseVector.Should().Be(VersionVector.Empty);

    [Fact]
    public void The_log_never_moves_back_and_leaves_no_row_when_there_is_nothing()
    {
        ShardClock clock = new();
        clock.AdvanceBase(ActorId.Log, 0);
        clock.IsEmpty.Should().BeTrue();
        clock.AdvanceBase(ActorId.Log, 5);
        clock.AdvanceBase(ActorId.Log, 3);
        clock.BaseOf(ActorId.Log).Should().Be(5);
        clock.IsEmpty.Should().BeFalse();
        clock.ActorCount.Should().Be(1);
    }

    [Fact]
    public void Who_was_never_seen_has_no_counters()
    {
        ShardClock clock = Clock(Alice, 1, 4);
        clock.BaseOf(Bob).Should().Be(0);
        clock.HighestOf(Bob).Should().Be(0);
        clock.HighestOf(Alice).Should().Be(4);
        Clock(Alice, 1, 2).HighestOf(Alice).Should().Be(2);
        clock.Covers(new Dot(Bob, 1)).Should().BeFalse();
        clock.Covers(new Dot(Alice, 3)).Should().BeFalse();
        clock.Covers(new Dot(Alice, 4)).Should().BeTrue();
    }

    [Fact]
    public void What_only_one_has_seen_is_in_no_intersection()
    {
        ShardClock common = ShardClock.Intersect(Clock(Alice, 1, 2), Clock(Bob, 1));
        common.IsEmpty.Should().BeTrue();
        ShardClock.Intersect(Clock(Alice, 2, 4), Clock(Alice, 1, 3)).ActorCount.Should().Be(0, "an actor without dots is not mentioned");
    }

    [Fact]
    public void Clocks_are_equal_when_they_have_seen_the_same()
    {
        ShardClock clock = Clock(Alice, 1, 3);
        clock.Equals((object)Clock(Alice, 3, 1)).Should().BeTrue();
        clock.Equals(Clock(Bob, 1, 3)).Should().BeFalse();
        clock.Equals(Clock(Alice, 1)).Should().BeFalse();
        clock.Equals(Clock(Alice, 1, 4)).Should().BeFalse();
        clock.Equals(Clock(Alice, 1, 2, 3)).Should().BeFalse();
        clock.Equals(new ShardClock()).Should().BeFalse();
        clock.GetHashCode().Should().Be(Clock(Alice, 3, 1).GetHashCode());
        clock.Equals("a clock").Should().BeFalse();
        clock.Equals(null).Should().BeFalse();
    }

    [Fact]
    public void What_is_missing_is_counted_without_being_walked()
    {
        ShardClock clock = new();
        clock.AdvanceBase(Alice, 1ul << 40);
        clock.CountMissingFrom(new ShardClock()).Should().Be(1ul << 40);
        clock.CountMissingFrom(Clock(Alice, 5)).Should().Be((1ul << 40) - 1);
        clock.MissingFrom(new ShardClock()).Take(2).Should().Equal(new Dot(Alice, 1), new Dot(Alice, 2));
    }

    [Fact]
    public void The_text_of_a_clock_names_bases_and_what_lies_above()
    {
        ShardClock clock = Clock(ActorId.Log, 1, 2);
        clock.ToString().Should().Be("log:2");
        clock.Add(new Dot(ActorId.Log, 5));
        clock.ToString().Should().Be("log:2+1 up to 5");
    }

    private static ShardClock Clock(ActorId actor, params ulong[] counters) => VersioningGen.ClockOf(counters.Select(counter => new Dot(actor, counter)));
}
