using CsCheck;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

/// <summary>Positions are a join semilattice with one encoding each.</summary>
public sealed class SessionPositionLaws
{
    private static readonly Gen<SessionPosition> Positions =
        from epoch in Gen.ULong[0, 3]
        from places in Gen.Select(Gen.ULong[0, 4], Gen.ULong[0, 9]).Array[0, 4]
        from clock in VersioningGen.Clocks
        select places.Aggregate(
            SessionPosition.OfDots(new Epoch(epoch), clock),
            (joined, place) => joined.Join(SessionPosition.OfLog(new Epoch(epoch), new Term(place.Item1), new LogIndex(place.Item2))));

    [Fact]
    public void Joining_is_commutative_associative_and_idempotent()
        => Gen.Select(Positions, Positions, Positions).Sample((a, b, c) =>
        {
            a.Join(b).Should().Be(b.Join(a));
            a.Join(b).Join(c).Should().Be(a.Join(b.Join(c)));
            a.Join(a).Should().Be(a);
            SessionPosition.Empty.Join(a).Should().Be(a.Join(SessionPosition.Empty));
        });

    [Fact]
    public void A_join_has_seen_all_that_both_have_and_nothing_else()
        => Gen.Select(Positions, Positions).Sample((a, b) =>
        {
            SessionPosition joined = a.Join(b);
            ShardClock both = a.Seen.Clone();
            both.Join(b.Seen);
            joined.Seen.Should().Be(both);
            foreach (LogPlace place in joined.Log)
            {
                place.Index.Should().Be(LogIndex.Max(IndexIn(a, place.Term), IndexIn(b, place.Term)));
            }

            foreach (LogPlace place in (LogPlace[])[.. a.Log, .. b.Log])
            {
                IndexIn(joined, place.Term).Should().BeGreaterThanOrEqualTo(place.Index);
            }
        });

    [Fact]
    public void A_position_survives_its_encoding()
        => Positions.Sample(position => SessionPosition.Decode(position.ToBytes()).Should().Be(position));

    [Fact]
    public void What_is_left_beyond_a_clock_gives_the_whole_back_when_joined_with_it()
        => Gen.Select(Positions, VersioningGen.Clocks).Sample((position, everywhere) =>
        {
            ShardClock whole = everywhere.Clone();
            whole.Join(position.Seen);
            ShardClock again = everywhere.Clone();
            again.Join(position.Beyond(everywhere).Seen);
            again.Should().Be(whole);
        });

    [Fact]
    public void Too_many_bytes_are_refused()
    {
        Action decode = () => SessionPosition.Decode(new byte[SessionPosition.MaxBytes + 1]);
        decode.Should().Throw<MalformedRecordException>();
    }

    private static LogIndex IndexIn(SessionPosition position, Term term)
    {
        foreach (LogPlace place in position.Log)
        {
            if (place.Term == term)
            {
                return place.Index;
            }
        }

        return LogIndex.Zero;
    }
}
