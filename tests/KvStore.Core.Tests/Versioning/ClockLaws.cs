using CsCheck;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

public sealed class ClockLaws
{
    private static readonly Gen<Dot[]> DotSets = VersioningGen.Dots.Array[0, 30];

    [Fact]
    public void A_clock_behaves_like_a_set_of_dots()
        => Gen.Select(DotSets, DotSets).Sample((left, right) =>
        {
            SortedSet<Dot> mine = [], theirs = [.. right];
            ShardClock a = new(), b = VersioningGen.ClockOf(right);
            foreach (Dot dot in left)
            {
                a.Add(dot).Should().Be(mine.Add(dot));
            }

            ShardClock joined = a.Clone();
            joined.Join(b);
            a.MissingFrom(b).Should().Equal(mine.Except(theirs));
            a.CountMissingFrom(b).Should().Be((ulong)mine.Except(theirs).Count());
            a.Includes(b).Should().Be(mine.IsSupersetOf(theirs));
            joined.Should().Be(VersioningGen.ClockOf(left.Concat(right)));
            ShardClock.Intersect(a, b).Should().Be(VersioningGen.ClockOf(mine.Intersect(theirs)));
        });

    [Fact]
    public void The_base_is_the_longest_unbroken_prefix_and_its_vector_never_goes_stale()
        => DotSets.Sample(dots =>
        {
            ShardClock clock = new();
            foreach (Dot dot in dots)
            {
                clock.Add(dot);
                foreach (ActorId actor in VersioningGen.Actors)
                {
                    ulong expected = 0;
                    while (clock.Covers(new Dot(actor, expected + 1)))
                    {
                        expected++;
                    }

                    clock.BaseOf(actor).Should().Be(expected);
                    clock.BaseVector[actor].Should().Be(expected);
                }
            }
        });

    [Fact]
    public void A_clock_survives_its_encoding()
        => VersioningGen.Clocks.Sample(clock =>
        {
            byte[] bytes = VersioningGen.Encoded(clock.Encode);
            BinaryCursor cursor = new(bytes);
            ShardClock decoded = ShardClock.Decode(ref cursor);
            cursor.ExpectEnd();
            return decoded.Equals(clock) && decoded.BaseVector.Equals(clock.BaseVector);
        });

    [Fact]
    public void Advancing_the_log_absorbs_what_was_seen_above()
    {
        ShardClock clock = VersioningGen.ClockOf([new(ActorId.Log, 5), new(ActorId.Log, 6), new(ActorId.Log, 9)]);
        clock.AdvanceBase(ActorId.Log, 4);
        clock.BaseOf(ActorId.Log).Should().Be(6);
        clock.HighestOf(ActorId.Log).Should().Be(9);
    }

    [Fact]
    public void A_hostile_counter_costs_one_run()
    {
        ShardClock clock = VersioningGen.ClockOf([new(VersioningGen.Actors[1], Dot.MaxCounter)]);
        VersioningGen.Encoded(clock.Encode).Length.Should().BeLessThan(32);
    }

    [Fact]
    public void Vectors_join_to_the_least_that_descends_both()
        => Gen.Select(VersioningGen.Vectors, VersioningGen.Vectors).Sample((a, b) =>
        {
            VersionVector joined = a.Join(b);
            bool least = VersioningGen.Actors.All(actor => joined[actor] == Math.Max(a[actor], b[actor]));
            return least && joined.Descends(a) && joined.Descends(b) && a.Join(b).Equals(b.Join(a)) && a.Descends(b) == a.Join(b).Equals(a);
        });

    [Fact]
    public void A_vector_survives_its_encoding()
        => VersioningGen.Vectors.Sample(vector =>
        {
            BinaryCursor cursor = new(VersioningGen.Encoded(vector.Encode));
            return VersionVector.Decode(ref cursor).Equals(vector);
        });

    [Fact]
    public void Integers_of_every_length_survive_and_know_their_size()
        => Gen.ULong.Sample(value =>
        {
            byte[] bytes = VersioningGen.Encoded(output => VarInt.Write(output, value));
            BinaryCursor cursor = new(bytes);
            return bytes.Length == VarInt.SizeOf(value) && cursor.ReadVarInt() == value;
        });
}
