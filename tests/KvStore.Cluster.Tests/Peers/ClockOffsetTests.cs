using FluentAssertions;
using KvStore.Core.Detection;
using KvStore.Core.Identity;
using KvStore.Node.Peers;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>How far off a clock is, from what heartbeats say.</summary>
public sealed class ClockOffsetTests
{
    private const double Hour = 3_600_000;

    [Fact]
    public void A_beat_that_was_delayed_does_not_make_a_clock_look_late()
    {
        ClockOffset offset = new();
        offset.Add(theirWallMs: 10_000, ownWallMs: 10_005, roundTripMs: 10);
        offset.Ms.Should().Be(0);
        offset.Add(10_050, 10_900, 10);
        offset.Ms.Should().Be(0, "it was 850 ms on its way");
    }

    [Fact]
    public void A_step_of_a_clock_shows_after_a_few_beats_in_either_direction()
    {
        ClockOffset offset = new();
        offset.Add(1_000, 1_000, 0);
        offset.Add(1_050 + Hour, 1_050, 0);
        offset.Ms.Should().Be(Hour, "nothing delays a beat into the past");
        for (int beat = 0; beat < 8; beat++)
        {
            offset.Add(1_100, 1_100 + Hour, 0);
        }

        offset.Ms.Should().Be(-Hour);
    }

    [Theory]
    [InlineData(new double[] { }, 0)]
    [InlineData(new double[] { 3, -2 }, 0)]
    [InlineData(new double[] { -Hour, -Hour }, Hour)]
    [InlineData(new double[] { Hour, Hour + 10 }, -Hour)]
    [InlineData(new double[] { Hour, 1 }, -1)]
    [InlineData(new double[] { Hour }, -Hour)]
    [InlineData(new double[] { 0, 0, Hour, Hour }, 0)]
    [InlineData(new double[] { 0, Hour, Hour }, -Hour)]
    public void A_node_is_as_far_off_as_it_is_from_the_middle_of_all_clocks(double[] peersAhead, double expected) =>
        ClockOffset.OfThisNode(new PeerView(peersAhead.Select((ahead, i) => Peer((uint)i + 2, ahead, Liveness.Up)))).Should().Be(expected);

    [Fact]
    public void Clocks_that_are_not_heard_or_not_measured_do_not_count() => ClockOffset.OfThisNode(new PeerView(
        [Peer(2, Hour, Liveness.Down), Peer(3, Hour, Liveness.Down), Peer(4, double.NaN, Liveness.Up)])).Should().Be(0);

    private static PeerLiveness Peer(uint node, double ahead, Liveness reachability) =>
        new(new NodeId(node), $"n{node}:1", new LinkState(reachability, HeardByPeer: true, InGrace: false, Losses: 0, HeldDownMs: 0), 0, TimeSpan.Zero, 1, ahead, 1, 1);
}
