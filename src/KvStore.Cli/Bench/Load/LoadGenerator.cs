using System.Threading.Channels;
using HdrHistogram;

namespace KvStore.Cli.Bench.Load;

/// <summary>
/// Generates a load and measures it, at the least cost of its own: plain loops of awaits, a timestamp before and after, a count in a striped histogram. It knows
/// nothing of what it measures; see <see cref="LoadOperation"/>.
/// </summary>
public sealed class LoadGenerator
{
    private readonly LoadPlan _plan;
    private readonly LoadOperation _operation;
    private readonly TimeProvider _time;
    private readonly LoadStripe[] _stripes;
    private readonly LongHistogram _total = LoadReport.NewHistogram();
    private readonly LongHistogram _second = LoadReport.NewHistogram();
    private long _begun;
    private long _taken;
    private long _end;

    public LoadGenerator(LoadPlan plan, LoadOperation operation, TimeProvider? time = null)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(operation);
        ArgumentOutOfRangeException.ThrowIfLessThan(plan.Concurrency, 1);
        if (plan is { Duration: null, Operations: null })
        {
            throw new ArgumentException("A load needs a duration, a number of operations, or both.", nameof(plan));
        }

        _plan = plan;
        _operation = operation;
        _time = time ?? TimeProvider.System;
        _stripes = new LoadStripe[Math.Min(plan.Concurrency, 4 * Environment.ProcessorCount)];
        for (var stripe = 0; stripe < _stripes.Length; stripe++)
        {
            _stripes[stripe] = new LoadStripe();
        }
    }

    /// <summary>Runs the load to its end, or until the token is cancelled; in both cases the operations in flight are awaited and counted.</summary>
    /// <param name="progress">Called about once a second.</param>
    /// <param name="stop">Ends the load early.</param>
    public async Task<LoadReport> RunAsync(Action<LoadProgress>? progress, CancellationToken stop)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var begin = _time.GetTimestamp();
        _end = _plan.Duration is { } duration ? begin + (long)(duration.TotalSeconds * _time.TimestampFrequency) : long.MaxValue;
        var pace = _plan.RatePerSecond is { } rate ? new Pace(rate, _plan.Operations, _time) : null;
        var pacing = pace is null ? Task.CompletedTask : Task.Run(() => pace.RunAsync(begin, _end, ending.Token), CancellationToken.None);
        var reporting = ReportAsync(begin, progress, ending.Token);
        var workers = new Task[_plan.Concurrency];
        for (var worker = 0; worker < workers.Length; worker++)
        {
            var number = worker;
            workers[worker] = Task.Run(() => WorkAsync(number, pace, ending), CancellationToken.None);
        }

        try
        {
            await Task.WhenAll(workers);
        }
        finally
        {
            await ending.CancelAsync();
            await Quietly(pacing);
            await Quietly(reporting);
        }

        return Report(begin, _taken + (pace?.Due.Count ?? 0));
    }

    /// <summary>One loop. If it breaks, the others end too, and the run with its exception.</summary>
    private async Task WorkAsync(int worker, Pace? pace, CancellationTokenSource ending)
    {
        try
        {
            await (pace is null ? ClosedAsync(worker, ending.Token) : OpenAsync(worker, pace.Due, ending.Token));
        }
        catch
        {
            await ending.CancelAsync();
            throw;
        }
    }

    private async Task ClosedAsync(int worker, CancellationToken stop)
    {
        var stripe = _stripes[worker % _stripes.Length];
        var random = Scramble(_plan.Seed + (ulong)worker);
        var limit = _plan.Operations ?? long.MaxValue;
        var sent = _time.GetTimestamp();
        while (sent < _end && !stop.IsCancellationRequested && Interlocked.Increment(ref _begun) <= limit)
        {
            random = Scramble(random);
            var outcome = await _operation(worker, random);
            var answered = _time.GetTimestamp();
            stripe.Count(outcome, Microseconds(answered - sent), answered <= _end);
            sent = answered;
        }
    }

    private async Task OpenAsync(int worker, ChannelReader<long> schedule, CancellationToken stop)
    {
        var stripe = _stripes[worker % _stripes.Length];
        var random = Scramble(_plan.Seed + (ulong)worker);
        while (true)
        {
            if (!schedule.TryRead(out var due))
            {
                try
                {
                    due = await schedule.ReadAsync(CancellationToken.None);
                }
                catch (ChannelClosedException)
                {
                    return;
                }
            }

            if (_time.GetTimestamp() >= _end || stop.IsCancellationRequested)
            {
                Interlocked.Increment(ref _taken);
                return;
            }

            random = Scramble(random);
            var outcome = await _operation(worker, random);
            var answered = _time.GetTimestamp();
            stripe.Count(outcome, Microseconds(answered - due), answered <= _end);
        }
    }

    private async Task ReportAsync(long begin, Action<LoadProgress>? progress, CancellationToken ending)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1), _time);
        var previous = begin;
        while (await timer.WaitForNextTickAsync(ending))
        {
            var now = _time.GetTimestamp();
            var (failed, unknown) = Drain();
            progress?.Invoke(new LoadProgress(
                _time.GetElapsedTime(begin, now),
                _total.TotalCount,
                _second.TotalCount / _time.GetElapsedTime(previous, now).TotalSeconds,
                _second.TotalCount == 0 ? TimeSpan.Zero : TimeSpan.FromMicroseconds(_second.GetValueAtPercentile(99)),
                failed,
                unknown));
            previous = now;
        }
    }

    private (long Failed, long Unknown) Drain()
    {
        _second.Reset();
        long failed = 0;
        long unknown = 0;
        foreach (var stripe in _stripes)
        {
            var (stripeFailed, stripeUnknown) = stripe.DrainInto(_total, _second);
            failed += stripeFailed;
            unknown += stripeUnknown;
        }

        return (failed, unknown);
    }

    private LoadReport Report(long begin, long dueButNotSent)
    {
        Drain();
        var failed = new Dictionary<string, long>();
        var unknown = new Dictionary<string, long>();
        long inWindow = 0;
        foreach (var stripe in _stripes)
        {
            inWindow += stripe.AddCodesTo(failed, unknown);
        }

        return new LoadReport
        {
            Latencies = _total,
            Elapsed = _time.GetElapsedTime(begin, Math.Min(_end, _time.GetTimestamp())),
            DoneInTime = inWindow,
            Failed = failed,
            Unknown = unknown,
            DueButNotSent = dueButNotSent,
        };
    }

    private long Microseconds(long ticks) => (long)(ticks * (1_000_000.0 / _time.TimestampFrequency));

    /// <summary>The mixing step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), iterated: no state to share, nothing to allocate.</summary>
    private static ulong Scramble(ulong state)
    {
        var z = state + 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    private static async Task Quietly(Task task)
    {
        try
        {
            await task;
        }
        catch (OperationCanceledException)
        {
            // It was told to end.
        }
    }
}
