using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Versioning;

public sealed class SessionPositionTests
{
    private static SessionPosition AtNine => SessionPosition.OfLog(new Epoch(2), new Term(3), new LogIndex(9));

    [Fact]
    public void A_place_in_the_log_is_seen_and_none_is_where_nothing_was_read()
    {
        AtNine.Log.ToArray().Should().Equal(new LogPlace(new Term(3), new LogIndex(9)));
        SessionPosition.OfLog(new Epoch(2), new Term(3), LogIndex.Zero).Log.Length.Should().Be(0);
    }

    [Fact]
    public void A_join_keeps_the_log_of_whichever_side_has_one()
    {
        SessionPosition dots = SessionPosition.OfDots(new Epoch(5), VersioningGen.ClockOf([new Dot(VersioningGen.Actors[1], 1)]));
        foreach (SessionPosition joined in (SessionPosition[])[dots.Join(AtNine), AtNine.Join(dots)])
        {
            joined.Log.ToArray().Should().Equal(AtNine.Log.ToArray());
            joined.Epoch.Should().Be(new Epoch(5));
        }

        SessionPosition first = AtNine;
        SessionPosition.Empty.Join(first).Should().BeSameAs(first);
    }

    [Fact]
    public void Positions_are_equal_only_in_all_three_parts()
    {
        ShardClock seen = VersioningGen.ClockOf([new Dot(VersioningGen.Actors[1], 1)]);
        SessionPosition one = SessionPosition.OfDots(new Epoch(2), seen);
        one.Equals(SessionPosition.OfDots(new Epoch(2), seen.Clone())).Should().BeTrue();
        one.Equals(SessionPosition.OfDots(new Epoch(3), seen)).Should().BeFalse();
        one.Equals(SessionPosition.OfDots(new Epoch(2), new ShardClock())).Should().BeFalse();
        one.Equals(one.Join(AtNine)).Should().BeFalse();
        AtNine.Equals(SessionPosition.OfLog(new Epoch(2), new Term(3), new LogIndex(8))).Should().BeFalse();
        SessionPosition.OfDots(new Epoch(2), seen.Clone()).GetHashCode().Should().Be(one.GetHashCode());
    }
}
