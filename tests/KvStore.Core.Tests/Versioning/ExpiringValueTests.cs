using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

public sealed class ExpiringValueTests
{
    private static readonly Dot A1 = new(VersioningGen.Actors[1], 1);
    private static readonly Dot A2 = new(VersioningGen.Actors[1], 2);
    private static readonly Dot B1 = new(VersioningGen.Actors[2], 1);

    [Fact]
    public void Plain_values_are_encoded_as_they_always_were()
    {
        DottedObject plain = DottedObject.Empty.Write(new Dot(new ActorId(70_001), 2), "v"u8.ToArray(), new HybridTimestamp(0x0102));
        VersioningGen.Encoded(plain.Encode).Should().Equal(0x02, 1, 0xF1, 0xA2, 0x04, 2, 0x02, 0x01, 0, 0, 0, 0, 0, 0, 1, (byte)'v', 1, 0xF1, 0xA2, 0x04, 2);
        VersioningGen.Encoded(new OrderedRecord(new LogIndex(5), new HybridTimestamp(0x0102), "v"u8.ToArray()).Encode).Should().Equal(0x01, 5, 0x02, 0x01, 0, 0, 0, 0, 0, 0, (byte)'v');
    }

    [Theory]
    [InlineData(ValueForm.Bytes, 1_700_000_000_000)]
    [InlineData(ValueForm.Counter, 0)]
    [InlineData(ValueForm.Counter, 1_700_000_000_000)]
    public void An_ordered_record_of_every_form_comes_back_and_reads_as_a_dotted_object(ValueForm form, ulong expiresMs)
    {
        byte[] value = form == ValueForm.Counter ? CounterTotal.Encode(-42) : [1, 2];
        byte[] record = OrderedRecord.Encode(new LogIndex(300), 77, value, form, expiresMs);
        OrderedRecord.IsOrdered(record).Should().BeTrue();
        OrderedRecord read = OrderedRecord.Decode(record);
        (read.Index.Value, read.Timestamp.Packed, read.Form, read.ExpiresMs).Should().Be((300UL, 77UL, form, expiresMs));
        read.EncodedSize.Should().Be(record.Length);
        DottedValue dotted = DottedObject.Decode(record).Values[0];
        (dotted.Form, dotted.ExpiresMs).Should().Be((form, expiresMs));
        DottedObject.Decode(record).Winner.Value.ToArray().Should().Equal(form == ValueForm.Counter ? "-42"u8.ToArray() : [1, 2]);
    }

    [Fact]
    public void A_record_has_one_form_only()
    {
        byte[] plainInLongForm = [0x04, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        FluentActions.Invoking(() => OrderedRecord.Decode(plainInLongForm)).Should().Throw<MalformedRecordException>();
        byte[] emptyInLongForm = [0x03, 0, 1, 0xF1, 0xA2, 0x04, 2];
        FluentActions.Invoking(() => DottedObject.Decode(emptyInLongForm)).Should().Throw<MalformedRecordException>();
        byte[] brokenCounter = OrderedRecord.Encode(new LogIndex(1), 0, [0x80], ValueForm.Counter);
        FluentActions.Invoking(() => OrderedRecord.Decode(brokenCounter)).Should().Throw<MalformedRecordException>();
    }

    [Fact]
    public void What_has_expired_is_out_of_sight_and_the_rest_is_untouched()
    {
        DottedObject held = DottedObject.Empty.Write(Expiring(A1, 100)).Write(Expiring(A2, 0)).Write(Expiring(B1, 200));
        held.AliveAt(99).Should().BeSameAs(held);
        held.NextExpiryMs.Should().Be(100);
        held.AliveAt(100).Values.ToArray().Select(value => value.Dot).Should().Equal(A2, B1);
        held.AliveAt(200).Values.ToArray().Select(value => value.Dot).Should().Equal(A2);
        held.AliveAt(200).Context.Should().Be(held.Context);
    }

    [Fact]
    public void A_dotted_delete_of_exactly_what_expired_leaves_a_concurrent_refresh()
    {
        DottedObject held = DottedObject.Empty.Write(Expiring(A1, 100));
        DottedObject expired = held.AliveAt(100).Write(new Dot(VersioningGen.Actors[3], 1), null, default);
        DottedObject refreshed = DottedObject.Gone(held.Context).Write(Expiring(B1, 300));
        DottedObject.Sync(expired, refreshed).Values.ToArray().Select(value => value.Dot).Should().Equal(B1);
        DottedObject.Sync(expired, held).IsEmpty.Should().BeTrue();
    }

    private static DottedValue Expiring(Dot dot, ulong expiresMs) => new(dot, HybridTimestamp.FromPhysical(1), VersioningGen.ValueOf(dot)) { ExpiresMs = expiresMs };
}
