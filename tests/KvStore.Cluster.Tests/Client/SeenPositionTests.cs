using CsCheck;
using FluentAssertions;
using KvStore.Client.Sessions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

/// <summary>The client's idea of a session's position is the nodes': the same bytes, the same join.</summary>
public class SeenPositionTests
{
    private static readonly Gen<SessionPosition> Positions =
        from epoch in Gen.ULong[0, 3]
        from places in Gen.Select(Gen.ULong[1, 4], Gen.ULong[1, 9]).Array[0, 4]
        from dots in Gen.Select(Gen.ULong[2, 5], Gen.ULong[1, 12]).Array[0, 30]
        select places.Aggregate(
            SessionPosition.OfDots(new Epoch(epoch), ClockOf(dots)),
            (joined, place) => joined.Join(SessionPosition.OfLog(new Epoch(epoch), new Term(place.Item1), new LogIndex(place.Item2))));

    [Fact]
    public void It_writes_the_bytes_that_it_has_read() =>
        Positions.Sample(position => SeenPosition.Read(position.ToBytes()).ToBytes().Should().Equal(position.ToBytes()));

    [Fact]
    public void A_session_that_has_seen_nothing_says_what_nodes_say() => SeenPosition.Empty.ToArray().Should().Equal(SessionPosition.Empty.ToBytes());

    [Fact]
    public void Learning_an_answer_that_includes_what_was_sent_is_the_join()
        => Gen.Select(Positions, Positions, Positions).Sample((current, sent, more) =>
        {
            SessionPosition answered = sent.Join(more);
            SeenPosition mine = SeenPosition.Read(current.ToBytes());
            mine.Learn(SeenPosition.Read(sent.ToBytes()), SeenPosition.Read(answered.ToBytes()));
            mine.ToBytes().Should().Equal(current.Join(answered).ToBytes());
        });

    [Fact]
    public void What_a_node_left_out_of_what_it_was_sent_goes_and_what_came_meanwhile_stays()
    {
        SessionPosition sent = At(1, 5).Join(Dots((2, 7)));
        SessionPosition answered = At(2, 9);
        SeenPosition mine = SeenPosition.Read(sent.Join(Dots((3, 1))).ToBytes());
        mine.Learn(SeenPosition.Read(sent.ToBytes()), SeenPosition.Read(answered.ToBytes()));
        mine.ToBytes().Should().Equal(At(2, 9).Join(Dots((3, 1))).ToBytes());

        SeenPosition ahead = SeenPosition.Read(At(1, 6).Join(Dots((2, 7), (2, 8))).ToBytes());
        ahead.Learn(SeenPosition.Read(sent.ToBytes()), SeenPosition.Read(answered.ToBytes()));
        ahead.ToBytes().Should().Equal(At(1, 6).Join(At(2, 9)).Join(Dots((2, 7), (2, 8))).ToBytes());
    }

    [Fact]
    public void Bytes_that_are_no_position_are_refused()
        => Gen.Byte.Array[0, 40].Sample(bytes =>
        {
            try
            {
                SeenPosition.Read(bytes);
            }
            catch (FormatException)
            {
            }
        });

    private static SessionPosition At(ulong term, ulong index) => SessionPosition.OfLog(new Epoch(1), new Term(term), new LogIndex(index));

    private static SessionPosition Dots(params (ulong, ulong)[] dots) => SessionPosition.OfDots(new Epoch(1), ClockOf(dots));

    private static ShardClock ClockOf((ulong Actor, ulong Counter)[] dots)
    {
        ShardClock clock = new();
        foreach ((ulong actor, ulong counter) in dots)
        {
            clock.Add(new Dot(new ActorId(actor), counter));
        }

        return clock;
    }
}
