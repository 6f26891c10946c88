using FluentAssertions;
using KvStore.Core.Detection;
using Xunit;

namespace KvStore.Core.Tests.Detection;

public sealed class PhiAccrualDetectorTests
{
    private static readonly PhiAccrualOptions Options = new() { FirstIntervalMs = 100, MinStandardDeviationMs = 20, AcceptablePauseMs = 100 };

    /// <summary>A rhythm of heartbeats (interval and jitter, milliseconds), then a silence, and what is thought of it.</summary>
    [Theory]
    [InlineData(100, 0, 100, Liveness.Up)]
    [InlineData(100, 0, 200, Liveness.Up)]
    [InlineData(100, 0, 275, Liveness.Suspect)]
    [InlineData(100, 0, 400, Liveness.Down)]
    [InlineData(100, 90, 275, Liveness.Up)]
    [InlineData(100, 90, 550, Liveness.Suspect)]
    [InlineData(100, 90, 1_000, Liveness.Down)]
    [InlineData(1_000, 0, 1_050, Liveness.Up)]
    [InlineData(1_000, 0, 1_500, Liveness.Down)]
    [InlineData(10, 5, 110, Liveness.Up)]
    [InlineData(10, 5, 60_000, Liveness.Down)]
    public void A_silence_is_judged_by_the_rhythm_before_it(int interval, int jitter, int silence, Liveness expected)
    {
        var detector = new PhiAccrualDetector(Options);
        long now = Beat(detector, 0, interval, jitter, count: 200);

        detector.Assess(now + silence).Should().Be(expected, $"phi is {detector.Phi(now + silence)}");
    }

    [Fact]
    public void Nothing_is_thought_of_a_node_that_was_never_heard()
    {
        var detector = new PhiAccrualDetector(Options);

        detector.Assess(1_000_000).Should().Be(Liveness.Unknown);
        detector.Phi(1_000_000).Should().Be(0);
    }

    [Fact]
    public void Phi_only_grows_while_nothing_is_heard()
    {
        var detector = new PhiAccrualDetector(Options);
        long now = Beat(detector, 0, 100, 30, 50);

        double last = 0;
        for (int silence = 0; silence < 5_000; silence += 10)
        {
            double phi = detector.Phi(now + silence);
            phi.Should().BeGreaterThanOrEqualTo(last);
            double.IsNaN(phi).Should().BeFalse();
            last = phi;
        }
    }

    [Fact]
    public void A_node_that_was_down_is_up_again_only_after_several_heartbeats_in_time()
    {
        var detector = new PhiAccrualDetector(Options);
        long now = Beat(detector, 0, 100, 0, 50) + 5_000;
        detector.Assess(now).Should().Be(Liveness.Down);

        detector.OnHeartbeat(now);
        detector.State.Should().Be(Liveness.Down);
        now = Beat(detector, now, 100, 0, Options.HeartbeatsToRecover - 1);
        detector.Assess(now).Should().Be(Liveness.Down);
        now = Beat(detector, now, 100, 0, 1);
        detector.Assess(now).Should().Be(Liveness.Up);
    }

    [Fact]
    public void A_flapping_link_does_not_make_a_node_go_up_and_down()
    {
        var detector = new PhiAccrualDetector(Options);
        long now = Beat(detector, 0, 100, 0, 50);
        int changes = 0;
        Liveness last = detector.State;
        for (int i = 0; i < 100; i++)
        {
            now = Beat(detector, now, 100, 0, 1) + 600;
            Liveness state = detector.Assess(now);
            changes += state == last ? 0 : 1;
            last = state;
        }

        changes.Should().BeLessThan(6);
    }

    [Fact]
    public void A_node_that_speaks_less_often_from_now_on_is_believed_in_the_end()
    {
        var detector = new PhiAccrualDetector(Options);
        long now = Beat(detector, 0, 100, 0, 200);

        now = Beat(detector, now, 1_000, 0, 200);

        detector.Assess(now + 1_000).Should().Be(Liveness.Up);
    }

    [Fact]
    public void An_outage_does_not_make_the_detector_patient()
    {
        var detector = new PhiAccrualDetector(Options);
        long now = Beat(detector, 0, 100, 0, 200) + 600_000;
        now = Beat(detector, now, 100, 0, 10);

        detector.Assess(now + 500).Should().Be(Liveness.Down);
    }

    [Fact]
    public void A_node_that_has_restarted_may_have_another_rhythm()
    {
        var detector = new PhiAccrualDetector(Options);
        long now = Beat(detector, 0, 1_000, 0, 200);
        detector.ForgetRhythm();

        now = Beat(detector, now, 100, 0, 10);

        detector.Assess(now + 500).Should().Be(Liveness.Down, "it was slow in another life");
    }

    [Fact]
    public void A_clock_that_steps_back_is_taken_as_no_time_passed()
    {
        var detector = new PhiAccrualDetector(Options);
        long now = Beat(detector, 0, 100, 0, 50);

        detector.OnHeartbeat(now - 10_000);

        detector.Assess(now - 5_000).Should().Be(Liveness.Up);
        detector.Assess(now + 100).Should().Be(Liveness.Up);
    }

    private static long Beat(PhiAccrualDetector detector, long now, int interval, int jitter, int count)
    {
        for (int i = 0; i < count; i++)
        {
            now += interval + (i % 2 == 0 ? jitter : -jitter);
            detector.OnHeartbeat(now);
        }

        return now;
    }
}
