using FluentAssertions;
using KvStore.Contracts.V1;
using KvStore.Node.Peers;
using Xunit;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>The judgement over arrival times, in virtual time.</summary>
public sealed class PeerPulseTests
{
    private static readonly HeartbeatOptions Options = new();

    private readonly PeerPulse _pulse = new(Options, nowMs: 0);
    private double _now;

    [Fact]
    public void Steady_beats_keep_a_peer_up()
    {
        Beats(1_000, everyMs: 50);

        _pulse.Reachability.Should().Be(Reachability.Up);
        _pulse.Phi(_now).Should().BeLessThan(0.1);
    }

    [Fact]
    public void A_hiccup_of_four_beats_is_not_held_against_it()
    {
        Beats(100, everyMs: 50);

        Silence(250);

        _pulse.Reachability.Should().Be(Reachability.Up);
    }

    [Fact]
    public void Silence_makes_it_suspect_and_then_down_within_a_second()
    {
        Beats(100, everyMs: 50);

        Silence(450);
        _pulse.Reachability.Should().Be(Reachability.Suspect);
        Silence(550);
        _pulse.Reachability.Should().Be(Reachability.Down);
    }

    [Fact]
    public void Suspicion_grows_with_silence()
    {
        Beats(100, everyMs: 50);
        double before = 0;
        for (double silence = 300; silence < 1_000; silence *= 1.2)
        {
            double phi = _pulse.Phi(_now + silence);
            phi.Should().BeGreaterThan(before).And.BeLessThan(double.PositiveInfinity);
            before = phi;
        }
    }

    [Fact]
    public void One_beat_out_of_the_grave_is_not_enough()
    {
        Beats(100, everyMs: 50);
        Silence(2_000);

        Beats(1, everyMs: 50);
        _pulse.Reachability.Should().Be(Reachability.Down);
        Beats(Options.RecoveryBeats, everyMs: 50);
        _pulse.Reachability.Should().Be(Reachability.Up);
    }

    [Fact]
    public void Slow_flapping_never_comes_up()
    {
        Beats(100, everyMs: 50);
        for (int i = 0; i < 20; i++)
        {
            Silence(1_000);
            Beats(1, everyMs: 1);
            _pulse.Reachability.Should().Be(Reachability.Down);
        }
    }

    [Fact]
    public void A_peer_that_was_never_heard_is_suspect_until_the_grace_is_over()
    {
        Silence(1_900);
        _pulse.Reachability.Should().Be(Reachability.Suspect);
        Silence(200);
        _pulse.Reachability.Should().Be(Reachability.Down);
    }

    private void Beats(int count, double everyMs)
    {
        for (int i = 0; i < count; i++)
        {
            _now += everyMs;
            _pulse.Judge(_now);
            _pulse.Beat(_now);
        }
    }

    private void Silence(double forMs)
    {
        for (double end = _now + forMs; _now < end; _now += 10)
        {
            _pulse.Judge(_now);
        }

        _pulse.Judge(_now);
    }
}
