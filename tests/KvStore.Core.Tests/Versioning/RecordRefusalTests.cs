using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

/// <summary>Each record has one form: whatever else says the same, or says what can't be, is refused with its reason.</summary>
public sealed class RecordRefusalTests
{
    private const byte A = 1;
    private const byte B = 2;

    [Fact]
    public void A_vector_is_sorted_by_actor_and_names_each_once()
    {
        DecodeVector(2, A, 5, B, 6).Should().Be(VersionVector.Of(new Dot(new ActorId(A), 5), new Dot(new ActorId(B), 6)));
        Refuse("sorted", () => DecodeVector(2, B, 5, A, 6));
        Refuse("sorted", () => DecodeVector(2, A, 5, A, 6));
        Refuse("count", () => DecodeVector(2, A, 5, B));
        DecodeVector(0).Should().BeSameAs(VersionVector.Empty);
    }

    [Fact]
    public void An_object_is_sorted_by_dot_and_names_each_once()
    {
        DecodeObject([Value(A, 5), Value(A, 6), Value(B, 1)]).SiblingCount.Should().Be(3);
        Refuse("sorted", () => DecodeObject([Value(A, 6), Value(A, 5)]));
        Refuse("sorted", () => DecodeObject([Value(B, 5), Value(A, 6)]));
        Refuse("sorted", () => DecodeObject([Value(A, 5), Value(A, 5)]));
    }

    [Fact]
    public void An_object_has_its_tag_and_nothing_behind_its_end()
    {
        byte[] bytes = VersioningGen.Encoded(DottedObject.Empty.Encode);
        bytes.Should().Equal(DottedObject.Tag, 0, 0);
        DottedObject.Decode(bytes).Should().BeSameAs(DottedObject.Empty);
        Refuse("another form", () => DottedObject.Decode(new byte[] { DottedObject.ExtendedTag, 0, 0 }));
        Refuse("unknown tag", () => DottedObject.Decode(new byte[] { 9, 0, 0 }));
        Refuse("left over", () => DottedObject.Decode(new byte[] { DottedObject.Tag, 0, 0, 0 }));
        Refuse("missing", () => DottedObject.Decode(default));
    }

    [Fact]
    public void An_object_without_values_that_has_a_context_keeps_it()
    {
        DottedObject gone = DottedObject.Gone(VersionVector.Of(new Dot(new ActorId(A), 5)));
        DottedObject.Decode(VersioningGen.Encoded(gone.Encode)).Should().Be(gone);
        DecodeObject([Value(A, 5)]).IsEmpty.Should().BeFalse();
    }

    [Fact]
    public void The_smallest_value_that_can_be_is_counted_as_eleven_bytes()
    {
        byte[] smallest = [DottedObject.Tag, 1, A, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        DottedObject.Decode(smallest).Winner.Value.Length.Should().Be(0);
        Refuse("count", () => DottedObject.Decode(smallest.AsMemory(0, 12)));
    }

    [Fact]
    public void An_ordered_record_has_its_tag_an_index_and_a_timestamp()
    {
        Refuse("another tag", () => OrderedRecord.Decode(new byte[] { 2, 1, 0, 0, 0, 0, 0, 0, 0, 0 }));
        Refuse("counter", () => OrderedRecord.Decode(new byte[] { 1, 0, 0, 0, 0, 0, 0, 0, 0, 0 }));
        Refuse("cut off", () => OrderedRecord.Decode(new byte[] { 1, 1, 0, 0, 0, 0, 0, 0, 0 }));
        OrderedRecord.IsOrdered([]).Should().BeFalse();
        OrderedRecord.IsOrdered([1]).Should().BeTrue();
        OrderedRecord.IsOrdered([2]).Should().BeFalse();
        OrderedRecord empty = OrderedRecord.Decode(new byte[] { 1, 9, 0, 0, 7, 0, 0, 0, 0, 0 });
        empty.Index.Should().Be(new LogIndex(9));
        empty.Timestamp.Should().Be(HybridTimestamp.FromPhysical(7));
        empty.Value.Length.Should().Be(0);
        empty.EncodedSize.Should().Be(10);
    }

    [Fact]
    public void A_version_has_its_format_and_sorted_dots_and_nothing_behind_its_end()
    {
        ObjectVersion read = ObjectVersion.Decode(new byte[] { ObjectVersion.Format, 2, A, 1, A, 2, 1, A, 2 });
        read.LiveDots.ToArray().Should().Equal(new Dot(new ActorId(A), 1), new Dot(new ActorId(A), 2));
        read.Context.Should().Be(VersionVector.Of(new Dot(new ActorId(A), 2)));
        Refuse("format", () => ObjectVersion.Decode(new byte[] { 2, 0, 0 }));
        Refuse("sorted", () => ObjectVersion.Decode(new byte[] { ObjectVersion.Format, 2, A, 2, A, 1, 0 }));
        Refuse("sorted", () => ObjectVersion.Decode(new byte[] { ObjectVersion.Format, 2, A, 2, A, 2, 0 }));
        Refuse("left over", () => ObjectVersion.Decode(new byte[] { ObjectVersion.Format, 0, 0, 0 }));
    }

    [Fact]
    public void A_clock_is_sorted_by_actor_and_its_runs_do_not_touch()
    {
        ShardClock clock = DecodeClock(2, A, 5, 1, 2, 0, B, 0, 2, 2, 3, 2, 0);
        clock.Should().Be(VersioningGen.ClockOf([
            .. Counters(A, 1, 2, 3, 4, 5, 7), .. Counters(B, 2, 3, 4, 5, 7)]));
        Refuse("sorted", () => DecodeClock(2, B, 5, 0, A, 5, 0));
        Refuse("sorted", () => DecodeClock(2, A, 5, 0, A, 6, 0));
        Refuse("touch", () => DecodeClock(1, A, 5, 1, 1, 0));
        Refuse("touch", () => DecodeClock(1, A, 5, 1, 0, 0));
        Refuse("touch", () => DecodeClock(1, A, 5, 2, 2, 0, 1, 0));
        Refuse("without dots", () => DecodeClock(1, A, 0, 0));
        Refuse("count", () => DecodeClock(2, A, 5, 0, B, 5));
    }

    [Fact]
    public void A_clock_may_reach_the_highest_counter_but_not_pass_it()
    {
        DecodeClock([1, A, .. Integer(Dot.MaxCounter), 0]).HighestOf(new ActorId(A)).Should().Be(Dot.MaxCounter);
        Refuse("base", () => DecodeClock([1, A, .. Integer(Dot.MaxCounter + 1), 0]));

        DecodeClock([1, A, 5, 1, .. Integer(Dot.MaxCounter - 5), 0]).HighestOf(new ActorId(A)).Should().Be(Dot.MaxCounter);
        Refuse("range", () => DecodeClock([1, A, 5, 1, .. Integer(Dot.MaxCounter - 4), 0]));
        DecodeClock([1, A, 5, 1, 2, .. Integer(Dot.MaxCounter - 7)]).HighestOf(new ActorId(A)).Should().Be(Dot.MaxCounter);
        Refuse("range", () => DecodeClock([1, A, 5, 1, 2, .. Integer(Dot.MaxCounter - 6)]));
        Refuse("range", () => DecodeClock([1, A, 5, 1, .. Integer(Dot.MaxCounter - 5), 1]));
        Refuse("range", () => DecodeClock([1, A, 5, 1, .. Integer(ulong.MaxValue), 0]));
        Refuse("range", () => DecodeClock([1, A, 5, 2, 2, 7, .. Integer(Dot.MaxCounter - 13), 0]));
    }

    [Fact]
    public void A_session_position_has_its_format_sorted_terms_and_no_more_than_a_call_may_carry()
    {
        DecodePosition(SessionPosition.Format, 2, 2, 1, 9, 3, 8, 0).Log.ToArray().Should().Equal(new LogPlace(new Term(1), new LogIndex(9)), new LogPlace(new Term(3), new LogIndex(8)));
        Refuse("too long", () => DecodePosition(new byte[SessionPosition.MaxBytes + 1]));
        Refuse("unknown format", () => DecodePosition(new byte[SessionPosition.MaxBytes]));
        Refuse("not sorted", () => DecodePosition(SessionPosition.Format, 2, 2, 3, 9, 1, 8, 0));
        Refuse("not sorted", () => DecodePosition(SessionPosition.Format, 2, 2, 3, 9, 3, 8, 0));
        Refuse("left over", () => DecodePosition(SessionPosition.Format, 2, 0, 0, 0));
        byte[] Terms(int count) => [SessionPosition.Format, 2, (byte)count, .. Enumerable.Range(1, count).SelectMany(term => new[] { (byte)term, (byte)1 }), 0];
        DecodePosition(Terms(SessionPosition.MaxTerms)).Log.Length.Should().Be(SessionPosition.MaxTerms);
        Refuse("too many terms", () => DecodePosition(Terms(SessionPosition.MaxTerms + 1)));
    }

    [Fact]
    public void A_value_has_known_flags_an_expiry_that_can_be_and_a_total_if_it_counts()
    {
        byte[] Flagged(params byte[] flagsAndValue) => [DottedObject.ExtendedTag, 1, A, 1, 0, 0, 0, 0, 0, 0, 0, 0, .. flagsAndValue, 0];
        byte[] flag = VersioningGen.Encoded(output => ValueFlags.Write(output, ValueForm.Bytes, (ulong)HybridTimestamp.MaxPhysicalMs));
        byte expires = flag[0];
        byte counts = VersioningGen.Encoded(output => ValueFlags.Write(output, ValueForm.Counter, 0))[0];
        DottedObject.Decode(Flagged([.. flag, 1, 0xEE])).NextExpiryMs.Should().Be((ulong)HybridTimestamp.MaxPhysicalMs);
        Refuse("unknown flags", () => DottedObject.Decode(Flagged(0x80, 1, 0xEE)));
        Refuse("out of range", () => DottedObject.Decode(Flagged(expires, 0, 1, 0xEE)));
        Refuse("out of range", () => DottedObject.Decode(Flagged([expires, .. Integer((ulong)HybridTimestamp.MaxPhysicalMs + 1), 1, 0xEE])));

        byte[] total = CounterTotal.Encode(5);
        DottedObject.Decode(Flagged([counts, (byte)total.Length, .. total])).HasCounter.Should().BeTrue();
        Refuse("left over", () => DottedObject.Decode(Flagged([counts, (byte)(total.Length + 1), .. total, 0])));
        Refuse("too many requests", () => CounterTotal.Decode(new byte[] { 0, 0, CounterTotal.MaxRequests + 1 }.Concat(new byte[9 * (CounterTotal.MaxRequests + 1)]).ToArray()));
    }

    [Fact]
    public void A_version_is_known_by_its_first_byte()
    {
        ObjectVersion.IsOne([]).Should().BeFalse();
        ObjectVersion.IsOne([ObjectVersion.Format]).Should().BeTrue();
        ObjectVersion.IsOne([2, ObjectVersion.Format]).Should().BeFalse();
    }

    private static SessionPosition DecodePosition(params byte[] bytes) => SessionPosition.Decode(bytes);

    private static Dot[] Counters(byte actor, params ulong[] counters) => [.. counters.Select(counter => new Dot(new ActorId(actor), counter))];

    private static byte[] Integer(ulong value) => VersioningGen.Encoded(output => VarInt.Write(output, value));

    private static byte[] Value(byte actor, byte counter) => [actor, counter, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xEE];

    private static DottedObject DecodeObject(byte[][] values) => DottedObject.Decode(new byte[] { DottedObject.Tag, (byte)values.Length }.Concat(values.SelectMany(value => value)).Append((byte)0).ToArray());

    private static VersionVector DecodeVector(params byte[] bytes)
    {
        BinaryCursor cursor = new(bytes);
        return VersionVector.Decode(ref cursor);
    }

    private static ShardClock DecodeClock(params byte[] bytes)
    {
        BinaryCursor cursor = new(bytes);
        ShardClock clock = ShardClock.Decode(ref cursor);
        cursor.ExpectEnd();
        return clock;
    }

    private static void Refuse<T>(string reason, Func<T> decode) => decode.Invoking(it => it()).Should().Throw<MalformedRecordException>().WithMessage($"*{reason}*");
}
