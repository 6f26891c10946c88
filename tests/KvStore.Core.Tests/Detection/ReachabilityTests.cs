using FluentAssertions;
using KvStore.Core.Detection;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Detection;

/// <summary>The judgement over arrival times, with the settings of a node: a heartbeat every 50 ms.</summary>
public sealed class ReachabilityTests
{
    private const int BeatMs = 50;

    private static readonly NodeId Self = new(1);
    private static readonly NodeId Peer = new(2);
    private static readonly ReachabilityOptions Options = new() { Phi = PhiAccrualOptions.For(BeatMs) };

    private readonly Reachability _reachability = new(Self, Options);
    private long _now;
    private int _changes;
    private bool _counted = true;
    private Liveness _state;
    private int _stateChanges;

    public ReachabilityTests() => _reachability.Watch(Peer, 0);

    [Fact]
    public void A_node_reaches_itself() => _reachability.LinkTo(Self, 0).Counts.Should().BeTrue();

    [Fact]
    public void Nothing_is_known_of_a_stranger() => _reachability.LinkTo(new NodeId(9), 0).Counts.Should().BeFalse();

    [Fact]
    public void A_peer_that_was_never_heard_counts_until_the_grace_is_over()
    {
        Silence(1_900);
        Link.Should().Match<LinkState>(link => link.Counts && link.Hearing == Liveness.Unknown);
        _reachability.Hears(Peer, _now).Should().BeFalse("nobody is told that he was heard before he was");
        Silence(200);
        Link.Should().Match<LinkState>(link => !link.Counts && link.Hearing == Liveness.Down);
    }

    [Fact]
    public void A_link_counts_when_both_hear_each_other()
    {
        Beats(100);

        Link.Counts.Should().BeTrue();
        _reachability.Phi(Peer, _now).Should().BeLessThan(0.1);
    }

    [Fact]
    public void A_link_on_which_only_we_hear_does_not_count_but_we_say_that_we_hear()
    {
        Beats(100, hearsUs: false);

        Link.Should().Match<LinkState>(link => !link.Counts && link.Hearing == Liveness.Up);
        _reachability.Hears(Peer, _now).Should().BeTrue();
    }

    [Fact]
    public void A_claim_ends_with_the_hearing()
    {
        Beats(100);
        Silence(2_000);

        Link.HeardByPeer.Should().BeFalse();
    }

    [Fact]
    public void A_hiccup_of_four_beats_is_not_held_against_a_peer()
    {
        Beats(100);
        Silence(250);

        Link.Hearing.Should().Be(Liveness.Up);
    }

    [Fact]
    public void Silence_makes_a_peer_suspect_and_then_down_within_a_second_and_a_suspect_still_counts()
    {
        Beats(100);
        Silence(450);
        Link.Should().Match<LinkState>(link => link.Counts && link.Hearing == Liveness.Suspect);
        _reachability.Hears(Peer, _now).Should().BeTrue();
        Silence(550);
        Link.Should().Match<LinkState>(link => !link.Counts && link.Hearing == Liveness.Down);
    }

    [Fact]
    public void After_one_outage_a_peer_is_back_as_soon_as_it_was_heard_in_time_three_times()
    {
        Beats(100);
        Silence(10_000);
        Beats(1);
        Link.Counts.Should().BeFalse();
        Beats(Options.Phi.HeartbeatsToRecover);

        Link.Should().Match<LinkState>(link => link.Counts && link.Losses == 1);
    }

    [Fact]
    public void A_peer_that_has_restarted_is_not_believed_sooner_than_another()
    {
        Beats(100);
        Silence(10_000);
        Beats(1, boot: 2);
        Link.Counts.Should().BeFalse();
        Beats(Options.Phi.HeartbeatsToRecover, boot: 2);

        Link.Counts.Should().BeTrue();
        _reachability.BootOf(Peer).Should().Be(2);
    }

    /// <summary>Half, once and twice the election timeouts of production (400 to 700 ms), as the time that the link is there and the time that it isn't.</summary>
    [Theory]
    [InlineData(200)]
    [InlineData(350)]
    [InlineData(550)]
    [InlineData(700)]
    [InlineData(800)]
    [InlineData(1_100)]
    [InlineData(1_400)]
    public void Scenario_07_a_link_that_flaps_for_ten_minutes_does_not_make_its_state_flap(int halfMs)
    {
        Beats(100);
        Flap(halfMs, 60_000);
        int atFirst = _changes;
        _stateChanges.Should().BeLessThanOrEqualTo(24, "up, suspect and down");
        (_changes, _stateChanges) = (0, 0);
        Flap(halfMs, 9 * 60_000);

        atFirst.Should().BeLessThanOrEqualTo(10, "in the first minute");
        _changes.Should().Be(0, "after it");
        _stateChanges.Should().Be(0, "not even between up and suspect");
    }

    [Fact]
    public void A_link_that_has_flapped_counts_again_after_the_longest_hold_down_and_is_forgiven_in_time()
    {
        Beats(100);
        Flap(1_000, 60_000);
        Beats((int)(Options.MaxHoldDownMs / BeatMs) + 6);
        Link.Should().Match<LinkState>(link => link.Counts && link.HeldDownMs == 0);

        Beats((int)(20 * Options.ForgiveMs / BeatMs));
        Link.Losses.Should().Be(0);
        Silence(2_000);
        Beats(Options.Phi.HeartbeatsToRecover + 1);
        Link.Counts.Should().BeTrue("what is long past is not held against it");
    }

    [Fact]
    public void Two_nodes_that_hear_each_other_again_do_not_wait_for_each_others_word()
    {
        Reachability[] both = [new(Self, Options), new(Peer, Options)];
        NodeId[] ids = [Self, Peer];
        for (long now = 0; now < 120_000; now += BeatMs)
        {
            // Flaps for a minute, then holds.
            bool isCut = now < 60_000 && now / 700 % 2 == 1;
            for (int i = 0; i < 2 && !isCut; i++)
            {
                both[1 - i].OnHeartbeat(ids[i], boot: 1, both[i].Hears(ids[1 - i], now), now);
            }

            both[0].LinkTo(Peer, now);
            both[1].LinkTo(Self, now);
        }

        both[0].LinkTo(Peer, 120_000).Counts.Should().BeTrue();
        both[1].LinkTo(Self, 120_000).Counts.Should().BeTrue();
    }

    [Theory]
    [InlineData(0, 500, 4_000, 5_000)]
    [InlineData(-1, 500, 4_000, 5_000)]
    [InlineData(0, 0, 4_000, 5_000)]
    [InlineData(0, 500, 499, 5_000)]
    [InlineData(0, 500, 4_000, 0)]
    public void Senseless_settings_are_refused(long grace, long hold, long maxHold, long forgive)
    {
        bool sensible = grace >= 0 && hold > 0 && maxHold >= hold && forgive > 0;
        Action make = () => _ = new Reachability(Self, Options with { StartGraceMs = grace, HoldDownMs = hold, MaxHoldDownMs = maxHold, ForgiveMs = forgive });
        if (sensible)
        {
            make.Should().NotThrow();
        }
        else
        {
            make.Should().Throw<ArgumentOutOfRangeException>();
        }
    }

    private LinkState Link => _reachability.LinkTo(Peer, _now);

    private void Beats(int count, bool hearsUs = true, ulong boot = 1)
    {
        for (int i = 0; i < count; i++)
        {
            Silence(BeatMs);
            _reachability.OnHeartbeat(Peer, boot, hearsUs, _now);
            Look();
        }
    }

    private void Silence(long forMs)
    {
        for (long end = _now + forMs; _now < end;)
        {
            _now = Math.Min(end, _now + BeatMs);
            Look();
        }
    }

    private void Flap(int halfMs, long forMs)
    {
        for (long end = _now + forMs; _now < end;)
        {
            Beats(halfMs / BeatMs);
            Silence(halfMs);
        }
    }

    private void Look()
    {
        LinkState link = Link;
        _changes += link.Counts == _counted ? 0 : 1;
        _counted = link.Counts;
        _stateChanges += link.Hearing == _state ? 0 : 1;
        _state = link.Hearing;
    }
}
