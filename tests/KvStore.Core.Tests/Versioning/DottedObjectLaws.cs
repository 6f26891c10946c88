using CsCheck;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

public sealed class DottedObjectLaws
{
    private static readonly ActorId Alice = VersioningGen.Actors[1];
    private static readonly ActorId Bob = VersioningGen.Actors[2];

    [Fact]
    public void Sync_is_commutative()
        => Gen.Select(VersioningGen.Objects, VersioningGen.Objects).Sample((a, b) => DottedObject.Sync(a, b).Equals(DottedObject.Sync(b, a)));

    [Fact]
    public void Sync_is_associative()
        => Gen.Select(VersioningGen.Objects, VersioningGen.Objects, VersioningGen.Objects).Sample((a, b, c) =>
            DottedObject.Sync(DottedObject.Sync(a, b), c).Equals(DottedObject.Sync(a, DottedObject.Sync(b, c))));

    [Fact]
    public void Sync_is_idempotent_and_absorbs()
        => Gen.Select(VersioningGen.Objects, VersioningGen.Objects).Sample((a, b) =>
        {
            DottedObject joined = DottedObject.Sync(a, b);
            return DottedObject.Sync(a, DottedObject.Decode(VersioningGen.Encoded(a.Encode))).Equals(a) && DottedObject.Sync(joined, a).Equals(joined);
        });

    [Fact]
    public void Sync_is_monotone_contexts_grow_and_what_was_superseded_stays_gone()
        => Gen.Select(VersioningGen.Objects, VersioningGen.Objects).Sample((a, b) =>
        {
            DottedObject joined = DottedObject.Sync(a, b);
            bool goneStaysGone = true;
            foreach (DottedValue value in joined.Values)
            {
                goneStaysGone &= (a.Holds(value.Dot) || !a.Context.Covers(value.Dot)) && (b.Holds(value.Dot) || !b.Context.Covers(value.Dot));
            }

            return goneStaysGone && joined.Context.Descends(a.Context) && joined.Context.Descends(b.Context);
        });

    [Fact]
    public void Fill_after_strip_with_the_same_or_a_later_base_loses_nothing()
        => Gen.Select(VersioningGen.Objects, VersioningGen.Vectors, VersioningGen.Vectors).Sample((a, clockBase, more) =>
        {
            VersionVector later = clockBase.Join(more);
            return a.Strip(clockBase).Fill(clockBase).Equals(a.Fill(clockBase)) && a.Strip(clockBase).Fill(later).Equals(a.Fill(later));
        });

    [Fact]
    public void Every_object_survives_its_encoding()
        => VersioningGen.Objects.Sample(a => DottedObject.Decode(VersioningGen.Encoded(a.Encode)).Equals(a));

    [Fact]
    public void Decoding_mangled_bytes_gives_an_object_or_the_documented_exception()
        => Gen.Select(VersioningGen.Objects, Gen.Int[0, 200], Gen.Byte, Gen.Int[0, 40]).Sample((a, at, with, cut) =>
        {
            byte[] bytes = VersioningGen.Encoded(a.Encode);
            bytes[at % bytes.Length] = with;
            try
            {
                DottedObject.Decode(bytes.AsMemory(0, Math.Max(0, bytes.Length - cut)));
            }
            catch (MalformedRecordException)
            {
                return true;
            }

            return true;
        });

    [Fact]
    public void Decoding_random_bytes_gives_a_value_or_the_documented_exception()
        => Gen.Byte.Array[0, 60].Sample(bytes =>
        {
            Decode(bytes, memory => DottedObject.Decode(memory));
            Decode(bytes, memory => ObjectVersion.Decode(memory));
            Decode(bytes, memory => OrderedRecord.Decode(memory));
            Decode(bytes, memory =>
            {
                BinaryCursor cursor = new(memory);
                ShardClock.Decode(ref cursor);
            });
        });

    [Fact]
    public void A_count_larger_than_the_record_allocates_nothing()
    {
        byte[] bytes = [DottedObject.Tag, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
        FluentActions.Invoking(() => DottedObject.Decode(bytes)).Should().Throw<MalformedRecordException>();
    }

    [Fact]
    public void Decoded_values_are_slices_of_the_record()
    {
        DottedObject written = DottedObject.Empty.Write(new Dot(Alice, 1), "abc"u8.ToArray(), HybridTimestamp.Zero);
        byte[] record = VersioningGen.Encoded(written.Encode);
        DottedObject decoded = DottedObject.Decode(record);
        Array.Clear(record);
        decoded.Values[0].Value.ToArray().Should().Equal(0, 0, 0);
    }

    [Fact]
    public void The_winner_has_the_highest_timestamp_then_actor_then_counter()
    {
        DottedObject siblings = DottedObject.Empty
            .Write(new Dot(Alice, 9), "a"u8.ToArray(), HybridTimestamp.FromPhysical(5))
            .Write(new Dot(Bob, 1), "b"u8.ToArray(), HybridTimestamp.FromPhysical(5))
            .Write(new Dot(Bob, 2), "c"u8.ToArray(), HybridTimestamp.FromPhysical(4));
        siblings.Winner.Dot.Should().Be(new Dot(Bob, 1));
    }

    [Fact]
    public void An_ordered_record_reads_as_a_dotted_object_whose_context_covers_the_log_up_to_it()
    {
        OrderedRecord ordered = new(new LogIndex(300), HybridTimestamp.FromPhysical(7), "value"u8.ToArray());
        byte[] record = VersioningGen.Encoded(ordered.Encode);
        DottedObject read = DottedObject.Decode(record);
        record.Length.Should().Be(ordered.EncodedSize);
        read.Winner.Dot.Should().Be(new Dot(ActorId.Log, 300));
        read.Winner.Value.ToArray().Should().Equal("value"u8.ToArray());
        read.Context.Should().Be(VersionVector.Of(new Dot(ActorId.Log, 300)));
    }

    [Fact]
    public void A_version_survives_its_encoding_and_matches_only_the_same_live_values()
        => Gen.Select(VersioningGen.Objects, VersioningGen.Objects).Sample((a, b) =>
        {
            ObjectVersion version = ObjectVersion.Decode(VersioningGen.Encoded(ObjectVersion.Of(a).Encode));
            bool sameDots = a.Values.ToArray().Select(value => value.Dot).SequenceEqual(b.Values.ToArray().Select(value => value.Dot));
            return version.Matches(a) && version.Matches(b) == sameDots && version.Context.Equals(a.Context);
        });

    private static void Decode(byte[] bytes, Action<ReadOnlyMemory<byte>> decode)
    {
        try
        {
            decode(bytes);
        }
        catch (MalformedRecordException malformed)
        {
            malformed.Message.Should().NotBeEmpty();
        }
    }
}
