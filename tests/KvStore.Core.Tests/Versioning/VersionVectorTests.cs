using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

/// <summary>What the laws do not say: which instance comes back, so that a vector that changes nothing costs nothing.</summary>
public sealed class VersionVectorTests
{
    private static readonly VersionVector Vector = Of(('a', 5), ('c', 7));

    [Fact]
    public void Counters_are_found_by_actor_and_zero_for_who_is_not_there()
    {
        Vector[Actor('a')].Should().Be(5);
        Vector[Actor('b')].Should().Be(0);
        Vector[Actor('c')].Should().Be(7);
        Vector[Actor('d')].Should().Be(0);
        Vector.Count.Should().Be(2);
        Vector.IsEmpty.Should().BeFalse();
        VersionVector.Empty.IsEmpty.Should().BeTrue();
        Vector.Entries.ToArray().Should().Equal(new Dot(Actor('a'), 5), new Dot(Actor('c'), 7));
    }

    [Fact]
    public void A_dot_is_covered_up_to_its_actors_counter()
    {
        Vector.Covers(new Dot(Actor('a'), 5)).Should().BeTrue();
        Vector.Covers(new Dot(Actor('a'), 6)).Should().BeFalse();
        Vector.Covers(new Dot(Actor('b'), 1)).Should().BeFalse();
    }

    [Fact]
    public void A_vector_descends_itself_and_what_has_less_in_every_entry()
    {
        Vector.Descends(Vector).Should().BeTrue();
        Vector.Descends(Of(('a', 5), ('c', 7))).Should().BeTrue();
        Vector.Descends(Of(('c', 6))).Should().BeTrue();
        Vector.Descends(VersionVector.Empty).Should().BeTrue();
        Vector.Descends(Of(('a', 6))).Should().BeFalse();
        Vector.Descends(Of(('b', 1))).Should().BeFalse();
        Vector.Descends(Of(('d', 1))).Should().BeFalse();
        VersionVector.Empty.Descends(Vector).Should().BeFalse();
    }

    [Fact]
    public void A_join_that_adds_nothing_is_one_of_the_two()
    {
        VersionVector less = Of(('a', 4));
        Vector.Join(less).Should().BeSameAs(Vector);
        less.Join(Vector).Should().BeSameAs(Vector);
        Vector.Join(Of(('a', 5), ('c', 7))).Should().BeSameAs(Vector);
        Vector.Join(Of(('a', 6), ('b', 1), ('d', 2))).Should().Be(Of(('a', 6), ('b', 1), ('c', 7), ('d', 2)));
        Of(('b', 1)).Join(Of(('a', 2))).Entries.ToArray().Should().Equal(new Dot(Actor('a'), 2), new Dot(Actor('b'), 1));
    }

    [Fact]
    public void A_dot_that_is_covered_already_changes_nothing()
    {
        Vector.With(new Dot(Actor('a'), 5)).Should().BeSameAs(Vector);
        Vector.With(new Dot(Actor('a'), 6)).Should().Be(Of(('a', 6), ('c', 7)));
        Vector.With(new Dot(Actor('b'), 1)).Should().Be(Of(('a', 5), ('b', 1), ('c', 7)));
        Vector[Actor('a')].Should().Be(5, "a vector never changes");
    }

    [Fact]
    public void What_the_base_covers_is_left_out()
    {
        Vector.Without(Of(('a', 5), ('c', 7))).Should().BeSameAs(VersionVector.Empty);
        Vector.Without(Of(('a', 4), ('b', 9))).Should().BeSameAs(Vector);
        Vector.Without(Of(('a', 5))).Should().Be(Of(('c', 7)));
        Vector.Without(Of(('c', 8))).Should().Be(Of(('a', 5)));
    }

    [Fact]
    public void Equality_is_by_entries()
    {
        Vector.Equals((object)Of(('a', 5), ('c', 7))).Should().BeTrue();
        Vector.Equals(Of(('a', 5), ('c', 8))).Should().BeFalse();
        Vector.Equals(Of(('a', 5))).Should().BeFalse();
        Vector.GetHashCode().Should().Be(Of(('a', 5), ('c', 7)).GetHashCode());
        Vector.GetHashCode().Should().NotBe(Of(('a', 7), ('c', 5)).GetHashCode());
        Vector.GetHashCode().Should().NotBe(Of(('a', 5)).GetHashCode());
        Vector.Equals("a vector").Should().BeFalse();
        Vector.Equals(null).Should().BeFalse();
    }

    [Fact]
    public void Dots_are_ordered_by_actor_then_counter()
    {
        new Dot(Actor('a'), 9).CompareTo(new Dot(Actor('b'), 1)).Should().BeNegative();
        new Dot(Actor('a'), 2).CompareTo(new Dot(Actor('a'), 1)).Should().BePositive();
        new Dot(Actor('a'), 2).CompareTo(new Dot(Actor('a'), 2)).Should().Be(0);
        default(Dot).IsNone.Should().BeTrue();
        new Dot(Actor('a'), 1).IsNone.Should().BeFalse();
        Dot.OfLog(new LogIndex(4)).Should().Be(new Dot(ActorId.Log, 4));
    }

    private static ActorId Actor(char name) => new(name);

    private static VersionVector Of(params ReadOnlySpan<(char Actor, int Counter)> entries)
    {
        VersionVector vector = VersionVector.Empty;
        foreach ((char actor, int counter) in entries)
        {
            vector = vector.With(new Dot(Actor(actor), (ulong)counter));
        }

        return vector;
    }
}
