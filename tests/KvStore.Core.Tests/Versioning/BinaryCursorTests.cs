using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

/// <summary>The edges of what the record formats accept: the last value that is read and the first one that is refused.</summary>
public sealed class BinaryCursorTests
{
    private delegate T Reader<out T>(ref BinaryCursor cursor);

    [Theory]
    [InlineData(0ul, 1)]
    [InlineData(0x7Ful, 1)]
    [InlineData(0x80ul, 2)]
    [InlineData(0x3FFFul, 2)]
    [InlineData(0x4000ul, 3)]
    [InlineData((1ul << 63) - 1, 9)]
    [InlineData(1ul << 63, 10)]
    [InlineData(ulong.MaxValue, 10)]
    public void An_integer_takes_seven_bits_a_byte(ulong value, int bytes)
    {
        byte[] written = VersioningGen.Encoded(output => VarInt.Write(output, value));

        written.Should().HaveCount(bytes);
        VarInt.SizeOf(value).Should().Be(bytes);
        Read(written, (ref cursor) => cursor.ReadVarInt()).Should().Be(value);
    }

    [Fact]
    public void An_integer_that_is_cut_off_too_long_too_large_or_padded_is_refused()
    {
        Refuse("cut off", (ref cursor) => cursor.ReadVarInt());
        Refuse("cut off", (ref cursor) => cursor.ReadVarInt(), 0x80);
        Refuse("shortest", (ref cursor) => cursor.ReadVarInt(), 0x80, 0x00);
        Refuse("64 bits", (ref cursor) => cursor.ReadVarInt(), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02);
        Refuse("64 bits", (ref cursor) => cursor.ReadVarInt(), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x81, 0x00);
        Refuse("shortest", (ref cursor) => cursor.ReadVarInt(), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00);
    }

    [Fact]
    public void A_count_is_believed_as_far_as_the_remaining_bytes_could_hold_it()
    {
        Read([2, 0, 0, 0, 0, 0, 0], (ref cursor) => cursor.ReadCount(3)).Should().Be(2);
        Read([2, 0, 0, 0, 0, 0, 0, 0], (ref cursor) => cursor.ReadCount(3)).Should().Be(2);
        Refuse("count", (ref cursor) => cursor.ReadCount(3), 2, 0, 0, 0, 0, 0);
    }

    [Fact]
    public void A_byte_and_a_truth_value_are_there_or_refused()
    {
        Read([7], (ref cursor) => cursor.ReadByte()).Should().Be(7);
        Refuse("missing", (ref cursor) => cursor.ReadByte());
        Read([0], (ref cursor) => cursor.ReadBool()).Should().BeFalse();
        Read([1], (ref cursor) => cursor.ReadBool()).Should().BeTrue();
        Refuse("truth", (ref cursor) => cursor.ReadBool(), 2);
    }

    [Fact]
    public void A_word_takes_eight_bytes_with_the_lowest_first()
    {
        Read([1, 2, 0, 0, 0, 0, 0, 0x80], (ref cursor) => cursor.ReadFixed64()).Should().Be(0x8000_0000_0000_0201);
        Refuse("cut off", (ref cursor) => cursor.ReadFixed64(), 1, 2, 3, 4, 5, 6, 7);
    }

    [Fact]
    public void What_follows_is_read_where_the_last_value_ended()
    {
        BinaryCursor cursor = new(new byte[] { 9, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0xAA, 0xBB, 1, 0xCC, 0xDD });

        cursor.ReadByte().Should().Be(9);
        cursor.ReadFixed64().Should().Be(1);
        cursor.Position.Should().Be(9);
        cursor.ReadBytes().ToArray().Should().Equal(0xAA, 0xBB);
        cursor.Remaining.Should().Be(3);
        cursor.ReadBytes().ToArray().Should().Equal(0xCC);
        cursor.ReadRest().ToArray().Should().Equal(0xDD);
        cursor.Remaining.Should().Be(0);
        cursor.ExpectEnd();
    }

    [Fact]
    public void Left_over_bytes_are_refused() => Refuse("left over", (ref cursor) =>
    {
        cursor.ExpectEnd();
        return 0;
    }, 1);

    [Fact]
    public void A_byte_string_may_end_with_the_record_but_not_pass_it()
    {
        Read([2, 5, 6], (ref cursor) => cursor.ReadBytes()).ToArray().Should().Equal(5, 6);
        Refuse("count", (ref cursor) => cursor.ReadBytes().Length, 3, 5, 6);
    }

    [Fact]
    public void Actors_and_counters_begin_at_one_and_counters_end_at_their_maximum()
    {
        Read([1], (ref cursor) => cursor.ReadActor()).Should().Be(ActorId.Log);
        Refuse("actor", (ref cursor) => cursor.ReadActor(), 0);
        Read([1], (ref cursor) => cursor.ReadCounter()).Should().Be(1);
        Read(Integer(Dot.MaxCounter), (ref cursor) => cursor.ReadCounter()).Should().Be(Dot.MaxCounter);
        Refuse("counter", (ref cursor) => cursor.ReadCounter(), 0);
        Refuse("counter", (ref cursor) => cursor.ReadCounter(), Integer(Dot.MaxCounter + 1));
        Read([3, 4], (ref cursor) => cursor.ReadDot()).Should().Be(new Dot(new ActorId(3), 4));
    }

    [Fact]
    public void A_key_has_one_byte_to_its_maximum()
    {
        Read([1, 65], (ref cursor) => cursor.ReadKey()).ToString().Should().Be("A");
        Read([.. Integer(Key.MaxLength), .. new byte[Key.MaxLength]], (ref cursor) => cursor.ReadKey()).Span.Length.Should().Be(Key.MaxLength);
        Refuse("key", (ref cursor) => cursor.ReadKey(), 0);
        Refuse("key", (ref cursor) => cursor.ReadKey(), [.. Integer(Key.MaxLength + 1), .. new byte[Key.MaxLength + 1]]);
    }

    [Fact]
    public void Bytes_are_written_with_their_length_in_front()
        => VersioningGen.Encoded(output => VarInt.WriteBytes(output, "ab"u8)).Should().Equal(2, (byte)'a', (byte)'b');

    private static byte[] Integer(ulong value) => VersioningGen.Encoded(output => VarInt.Write(output, value));

    private static T Read<T>(byte[] bytes, Reader<T> read)
    {
        BinaryCursor cursor = new(bytes);
        return read(ref cursor);
    }

    private static void Refuse<T>(string reason, Reader<T> read, params byte[] bytes)
        => FluentActions.Invoking(() => Read(bytes, read)).Should().Throw<MalformedRecordException>().WithMessage($"*{reason}*");
}
