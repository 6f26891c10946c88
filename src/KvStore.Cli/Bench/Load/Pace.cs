using System.Threading.Channels;

namespace KvStore.Cli.Bench.Load;

/// <summary>
/// The schedule of an open loop: hands out the moments at which operations are due. They are due in bunches at each millisecond, because that is as fine as timers
/// wake; a timer that wakes late is part of the measured latency, never of the schedule.
/// </summary>
internal sealed class Pace(double ratePerSecond, long? operations, TimeProvider time)
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(1);

    private readonly Channel<long> _due = Channel.CreateUnbounded<long>(new UnboundedChannelOptions { SingleWriter = true });

    public ChannelReader<long> Due => _due.Reader;

    /// <summary>Runs until the end of the window or of the operations, then closes the schedule.</summary>
    public async Task RunAsync(long begin, long end, CancellationToken stop)
    {
        try
        {
            using var timer = new PeriodicTimer(Tick, time);
            var tick = time.TimestampFrequency / 1_000;
            long handedOut = 0;
            for (var moment = begin; moment < end; moment += tick)
            {
                while (time.GetTimestamp() < moment)
                {
                    await timer.WaitForNextTickAsync(stop);
                }

                var due = (long)Math.Round(ratePerSecond * (moment + tick - begin) / time.TimestampFrequency);
                for (; handedOut < due; handedOut++)
                {
                    if (handedOut == operations)
                    {
                        return;
                    }

                    _due.Writer.TryWrite(moment);
                }
            }
        }
        finally
        {
            _due.Writer.Complete();
        }
    }
}
