using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

/// <summary>What an object says of itself, and what is left of it when some of its values go.</summary>
public sealed class DottedObjectViewTests
{
    private static readonly Dot A1 = new(VersioningGen.Actors[1], 1);
    private static readonly Dot B1 = new(VersioningGen.Actors[2], 1);
    private static readonly Dot C1 = new(VersioningGen.Actors[3], 1);

    private static readonly DottedObject Plain = DottedObject.Empty.Write(Bytes(A1, "one")).Write(Bytes(B1, "three"));

    [Fact]
    public void It_says_whether_it_counts_and_how_large_its_values_are()
    {
        Plain.HasCounter.Should().BeFalse();
        Plain.Write(Counter(C1, 7)).HasCounter.Should().BeTrue();
        DottedObject.Empty.HasCounter.Should().BeFalse();
        Plain.SizeOfValues.Should().Be(8);
        DottedObject.Empty.SizeOfValues.Should().Be(0);
    }

    [Fact]
    public void Values_that_were_written_are_shown_each_once()
        => Plain.Siblings().Select(value => value.Dot).Should().Equal(A1, B1);

    [Fact]
    public void A_counter_is_shown_as_old_as_its_newest_total_wherever_that_stands()
    {
        DottedObject newestFirst = DottedObject.Empty.Write(Counter(A1, 3, atMs: 90)).Write(Counter(B1, 4, atMs: 10));
        newestFirst.Siblings().Select(value => value.Dot).Should().Equal(A1);
        DottedObject newestLast = DottedObject.Empty.Write(Counter(A1, 3, atMs: 10)).Write(Counter(B1, 4, atMs: 90));
        newestLast.Siblings().Select(value => value.Dot).Should().Equal(B1);
    }

    [Fact]
    public void Nothing_is_left_of_what_expired_where_the_context_is_in_the_clock()
    {
        DottedObject held = DottedObject.Empty.Write(Bytes(A1, "x") with { ExpiresMs = 100 });
        held.Strip(held.Context).AliveAt(100).Should().BeSameAs(DottedObject.Empty);
        held.AliveAt(100).Should().Be(DottedObject.Gone(held.Context));
    }

    [Fact]
    public void Values_that_a_predicate_lets_through_are_kept_and_the_context_stays()
    {
        Plain.Keep(_ => true).Should().BeSameAs(Plain);
        DottedObject one = Plain.Keep(value => value.Dot == B1);
        one.Values.ToArray().Select(value => value.Dot).Should().Equal(B1);
        one.Context.Should().Be(Plain.Context);
        Plain.Keep(_ => false).Should().Be(DottedObject.Gone(Plain.Context));
        Plain.Strip(Plain.Context).Keep(_ => false).Should().BeSameAs(DottedObject.Empty);
        Plain.Supersede([]).Should().BeSameAs(Plain);
    }

    [Fact]
    public void A_record_of_either_regime_says_how_many_values_it_holds_without_being_read()
    {
        DottedObject.PeekSiblings(default).Should().Be(0);
        DottedObject.PeekSiblings(OrderedRecord.Encode(new LogIndex(1), 0, "v"u8)).Should().Be(1);
        DottedObject.PeekSiblings(VersioningGen.Encoded(Plain.Encode)).Should().Be(2);
        DottedObject.PeekSiblings(VersioningGen.Encoded(Plain.Write(Bytes(C1, "x") with { ExpiresMs = 5 }).Encode)).Should().Be(3);
        DottedObject.PeekSiblings(VersioningGen.Encoded(DottedObject.Gone(Plain.Context).Encode)).Should().Be(0);
    }

    [Fact]
    public void A_value_was_given_the_time_from_its_writing_to_its_expiry()
    {
        Bytes(A1, "x").TtlMs.Should().Be(0);
        (Bytes(A1, "x", atMs: 1_000) with { ExpiresMs = 1_500 }).TtlMs.Should().Be(500);
        (Bytes(A1, "x", atMs: 2_000) with { ExpiresMs = 1_500 }).TtlMs.Should().Be(0, "it was dead when it was written");
    }

    [Fact]
    public void A_record_of_the_log_shows_a_counter_as_text_and_bytes_as_they_are()
    {
        OrderedRecord.Decode(OrderedRecord.Encode(new LogIndex(1), 0, CounterTotal.Encode(-5), ValueForm.Counter)).Visible.ToArray().Should().Equal("-5"u8.ToArray());
        byte[] looksLikeOne = CounterTotal.Encode(-5);
        OrderedRecord.Decode(OrderedRecord.Encode(new LogIndex(1), 0, looksLikeOne)).Visible.ToArray().Should().Equal(looksLikeOne);
    }

    private static DottedValue Bytes(Dot dot, string value, long atMs = 1) => new(dot, HybridTimestamp.FromPhysical(atMs), System.Text.Encoding.UTF8.GetBytes(value));

    private static DottedValue Counter(Dot dot, long total, long atMs = 1) => new(dot, HybridTimestamp.FromPhysical(atMs), CounterTotal.Encode(total)) { Form = ValueForm.Counter };
}
