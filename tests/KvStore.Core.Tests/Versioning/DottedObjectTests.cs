using FluentAssertions;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

/// <summary>What the laws do not say: the single cases, and which instance comes back, so that a join that brings nothing costs nothing.</summary>
public sealed class DottedObjectTests
{
    private static readonly Dot A1 = new(VersioningGen.Actors[1], 1);
    private static readonly Dot A2 = new(VersioningGen.Actors[1], 2);
    private static readonly Dot B1 = new(VersioningGen.Actors[2], 1);
    private static readonly Dot B2 = new(VersioningGen.Actors[2], 2);
    private static readonly Dot C1 = new(VersioningGen.Actors[3], 1);

    [Fact]
    public void Vacant_empty_and_gone_are_told_apart()
    {
        DottedObject.Empty.IsVacant.Should().BeTrue();
        DottedObject.Gone(VersionVector.Empty).Should().BeSameAs(DottedObject.Empty);
        DottedObject gone = DottedObject.Gone(VersionVector.Of(A1));
        gone.IsEmpty.Should().BeTrue();
        gone.IsVacant.Should().BeFalse();
        Holding(A1).IsEmpty.Should().BeFalse();
        Holding(A1).IsVacant.Should().BeFalse();
        Holding(A1).Strip(VersionVector.Of(A1)).IsVacant.Should().BeFalse();
        DottedObject.Single(Holding(A1).Winner, VersionVector.Of(B2)).Should().Be(Seeing(Holding(A1), B2));
    }

    [Fact]
    public void The_winner_of_nothing_is_a_broken_invariant()
        => FluentActions.Invoking(() => DottedObject.Empty.Winner).Should().Throw<InvariantViolationException>();

    [Fact]
    public void The_winner_does_not_depend_on_where_it_stands()
    {
        DottedValue early = new(A1, HybridTimestamp.FromPhysical(5), default), late = new(B1, HybridTimestamp.FromPhysical(6), default);
        late.WinsOver(early).Should().BeTrue();
        early.WinsOver(late).Should().BeFalse();
        early.WinsOver(early).Should().BeFalse();
        DottedObject.Empty.Write(A1, Bytes("x"), late.Timestamp).Write(B1, Bytes("y"), early.Timestamp).Winner.Dot.Should().Be(A1);
        DottedObject.Empty.Write(A1, Bytes("x"), early.Timestamp).Write(A2, Bytes("y"), early.Timestamp).Winner.Dot.Should().Be(A2);
    }

    [Fact]
    public void A_join_that_brings_nothing_is_one_of_the_two()
    {
        DottedObject both = Holding(A1, B1), one = Holding(A1);
        DottedObject.Sync(both, one).Should().BeSameAs(both);
        DottedObject.Sync(one, both).Should().BeSameAs(both);
        DottedObject.Sync(both, both).Should().BeSameAs(both);
        DottedObject.Sync(both, DottedObject.Empty).Should().BeSameAs(both);
    }

    [Fact]
    public void A_value_that_the_other_has_seen_and_no_longer_has_is_gone()
    {
        DottedObject stale = Holding(A1), newer = Seeing(Holding(B1), A1);
        DottedObject.Sync(stale, newer).Should().BeSameAs(newer);
        DottedObject.Sync(newer, stale).Should().BeSameAs(newer);
        DottedObject.Sync(Holding(A1, C1), Seeing(Holding(B1), A1)).Values.ToArray().Select(value => value.Dot).Should().Equal(B1, C1);
        DottedObject.Sync(Holding(B1, C1), Seeing(Holding(A1), B1)).Values.ToArray().Select(value => value.Dot).Should().Equal(A1, C1);
    }

    [Fact]
    public void Discarding_drops_what_the_context_covers_and_learns_the_context()
    {
        DottedObject both = Holding(A1, B1);
        both.Discard(VersionVector.Empty).Should().BeSameAs(both);
        both.Discard(VersionVector.Of(A1)).Values.ToArray().Select(value => value.Dot).Should().Equal(B1);
        Holding(A1, B1, C1).Discard(VersionVector.Of(A1)).Values.ToArray().Select(value => value.Dot).Should().Equal(B1, C1);
        DottedObject none = both.Discard(VersionVector.Of(A2, B2));
        none.IsEmpty.Should().BeTrue();
        none.Context.Should().Be(VersionVector.Of(A2, B2));
        Holding(A2).Discard(VersionVector.Of(A1, B1)).Should().Be(Seeing(Holding(A2), B1));
    }

    [Fact]
    public void Filling_and_stripping_what_is_there_already_changes_nothing()
    {
        DottedObject one = Holding(A2);
        one.Fill(VersionVector.Of(A1)).Should().BeSameAs(one);
        one.Strip(VersionVector.Of(A1)).Should().BeSameAs(one);
        one.Strip(VersionVector.Of(A2)).Context.Should().BeSameAs(VersionVector.Empty);
        DottedObject.Gone(VersionVector.Of(A1)).Strip(VersionVector.Of(A1)).Should().BeSameAs(DottedObject.Empty);
    }

    [Fact]
    public void A_deletion_leaves_its_dot_in_the_context()
    {
        DottedObject deleted = Holding(A1).Write(B1, null, HybridTimestamp.Zero);
        deleted.Holds(A1).Should().BeTrue();
        deleted.Holds(B1).Should().BeFalse();
        deleted.Context.Covers(B1).Should().BeTrue();
    }

    [Fact]
    public void Values_stand_in_the_order_of_their_dots_and_a_dot_is_written_once()
    {
        Holding(B1, A2, A1, B2).Values.ToArray().Select(value => value.Dot).Should().Equal(A1, A2, B1, B2);
        FluentActions.Invoking(() => Holding(A1).Write(A1, Bytes("again"), HybridTimestamp.Zero)).Should().Throw<InvariantViolationException>();
        FluentActions.Invoking(() => Holding(A1, B1).Write(B1, Bytes("again"), HybridTimestamp.Zero)).Should().Throw<InvariantViolationException>();
    }

    [Fact]
    public void Equality_is_by_dots_timestamps_bytes_and_context()
    {
        DottedObject one = Holding(A1);
        one.Equals((object)Holding(A1)).Should().BeTrue();
        one.Equals(Holding(A2)).Should().BeFalse();
        one.Equals(Holding(A1, B1)).Should().BeFalse();
        one.Equals(Seeing(one, B1)).Should().BeFalse();
        one.Equals("an object").Should().BeFalse();
        one.GetHashCode().Should().Be(Holding(A1).GetHashCode());
        one.GetHashCode().Should().NotBe(one.Strip(one.Context).GetHashCode());
        one.GetHashCode().Should().NotBe(DottedObject.Gone(one.Context).GetHashCode());
        one.Equals(null).Should().BeFalse();

        DottedValue value = new(A1, HybridTimestamp.FromPhysical(5), Bytes("x"));
        value.Should().Be(new DottedValue(A1, HybridTimestamp.FromPhysical(5), Bytes("x")));
        value.Should().NotBe(value with { Dot = A2 });
        value.Should().NotBe(value with { Timestamp = HybridTimestamp.FromPhysical(6) });
        value.Should().NotBe(value with { Value = Bytes("y") });
        value.GetHashCode().Should().Be((value with { Value = Bytes("y") }).GetHashCode());
    }

    [Fact]
    public void A_version_does_not_match_other_live_values()
    {
        ObjectVersion version = ObjectVersion.Of(Holding(A1, B1));
        version.Matches(Holding(B1, A1)).Should().BeTrue();
        version.Matches(Holding(A1)).Should().BeFalse();
        version.Matches(Holding(A1, B2)).Should().BeFalse();
        version.Matches(Holding(A2, B1)).Should().BeFalse();
        version.Matches(Holding(A1, B1, B2)).Should().BeFalse();
    }

    private static ReadOnlyMemory<byte> Bytes(string text) => System.Text.Encoding.UTF8.GetBytes(text);

    private static DottedObject Seeing(DottedObject from, Dot seen) => from.Fill(VersionVector.Of(seen));

    private static DottedObject Holding(params Dot[] dots)
        => dots.Aggregate(DottedObject.Empty, (built, dot) => built.Write(dot, VersioningGen.ValueOf(dot), VersioningGen.TimestampOf(dot)));
}
