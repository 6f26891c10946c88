using FluentAssertions;
using KvStore.Cli.Bench;
using KvStore.Cli.Bench.Load;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

public sealed class LoadGeneratorTests
{
    private static CancellationToken Stop => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_closed_loop_runs_exactly_the_operations_asked_for()
    {
        long seen = 0;
        var report = await new LoadGenerator(
            new LoadPlan { Concurrency = 4, Operations = 1_000 },
            (_, _) =>
            {
                Interlocked.Increment(ref seen);
                return new ValueTask<LoadOutcome>(LoadOutcome.Done);
            }).RunAsync(null, Stop);

        seen.Should().Be(1_000);
        report.Done.Should().Be(1_000);
        report.DoneInTime.Should().Be(1_000);
    }

    [Fact]
    public async Task Outcomes_are_counted_apart_and_by_code()
    {
        long number = 0;
        var report = await new LoadGenerator(
            new LoadPlan { Concurrency = 2, Operations = 30 },
            (_, _) => new ValueTask<LoadOutcome>((Interlocked.Increment(ref number) % 3) switch
            {
                0 => LoadOutcome.Done,
                1 => LoadOutcome.Failed("NO_QUORUM"),
                _ => LoadOutcome.Unknown("DEADLINE_EXCEEDED"),
            })).RunAsync(null, Stop);

        report.Done.Should().Be(10);
        report.Failed.Should().Equal(new Dictionary<string, long> { ["NO_QUORUM"] = 10 });
        report.Unknown.Should().Equal(new Dictionary<string, long> { ["DEADLINE_EXCEEDED"] = 10 });
    }

    [Fact]
    public async Task An_open_loop_sends_what_is_due_and_no_more()
    {
        var report = await new LoadGenerator(
            new LoadPlan { Concurrency = 8, Operations = 50, RatePerSecond = 1_000, Duration = TimeSpan.FromSeconds(30) },
            (_, _) => new ValueTask<LoadOutcome>(LoadOutcome.Done)).RunAsync(null, Stop);

        report.Done.Should().Be(50);
        report.DueButNotSent.Should().Be(0);
    }

    [Fact]
    public async Task An_open_loop_charges_a_stall_to_the_operations_that_were_due_during_it()
    {
        var stalled = new TaskCompletionSource();
        var first = 1;
        var generator = new LoadGenerator(
            new LoadPlan { Concurrency = 1, Operations = 200, RatePerSecond = 1_000, Duration = TimeSpan.FromSeconds(30) },
            async (_, _) =>
            {
                if (Interlocked.Exchange(ref first, 0) == 1)
                {
                    await stalled.Task;
                }

                return LoadOutcome.Done;
            });
        using var timer = new Timer(_ => stalled.TrySetResult(), null, TimeSpan.FromMilliseconds(300), Timeout.InfiniteTimeSpan);
        var report = await generator.RunAsync(null, Stop);

        // The store answered 199 of 200 at once; a closed loop would report a median near zero. Due over 200 ms, all waited for the end of the stall at 300 ms.
        report.Done.Should().Be(200);
        report.Percentile(50).Should().BeGreaterThan(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task What_could_not_be_sent_before_the_end_is_told()
    {
        using var never = new CancellationTokenSource(TimeSpan.FromMilliseconds(400));
        var blocked = new TaskCompletionSource();
        never.Token.Register(() => blocked.TrySetResult());
        var report = await new LoadGenerator(
            new LoadPlan { Concurrency = 1, RatePerSecond = 1_000, Duration = TimeSpan.FromMilliseconds(100) },
            async (_, _) =>
            {
                await blocked.Task;
                return LoadOutcome.Done;
            }).RunAsync(null, Stop);

        report.Done.Should().Be(1);
        report.DoneInTime.Should().Be(0, "its answer came after the end");
        report.DueButNotSent.Should().Be(99);
    }

    [Fact]
    public async Task A_defect_in_the_operation_ends_the_run_with_its_exception()
    {
        var generator = new LoadGenerator(
            new LoadPlan { Concurrency = 3, Duration = TimeSpan.FromMinutes(5) },
            async (worker, _) =>
            {
                await Task.Yield();
                return worker == 1 ? throw new InvalidDataException("broken") : LoadOutcome.Done;
            });

        await generator.Awaiting(load => load.RunAsync(null, Stop)).Should().ThrowAsync<InvalidDataException>();
    }

    [Fact]
    public void Steal_is_read_from_the_eighth_field_of_proc_stat()
    {
        var before = CpuTimes.Parse("cpu  100 0 50 800 10 0 5 35 0 0");
        var after = CpuTimes.Parse("cpu  150 0 75 850 10 0 5 60 0 0");

        after!.Value.PercentSince(before!.Value).Should().Be((50.0, 100.0 * 25 / 150));
    }
}
