using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Clusters;

/// <summary>The run's time for those who want timers of a <see cref="TimeProvider"/>, too.</summary>
/// <param name="timeline">The run.</param>
/// <param name="afterCallback">Called behind every callback of a timer, for whoever looks what it has done.</param>
internal sealed class VirtualTimers(Timeline timeline, Action afterCallback) : TimeProvider
{
    public override long TimestampFrequency => 1_000_000;

    public override long GetTimestamp() => timeline.NowUs;

    public override DateTimeOffset GetUtcNow() => DateTimeOffset.UnixEpoch.AddMicroseconds(timeline.NowUs);

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new VirtualTimer(this, () => callback(state));
        timer.Change(dueTime, period);
        return timer;
    }

    private sealed class VirtualTimer(VirtualTimers owner, Action callback) : ITimer
    {
        private readonly Timeline _timeline = owner.Timeline;
        private TimeSpan _period;
        private long _setting;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            _setting++;
            _period = period;
            Plan(dueTime, _setting);
            return true;
        }

        public void Dispose() => _setting++;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Plan(TimeSpan due, long setting)
        {
            if (due != Timeout.InfiniteTimeSpan)
            {
                _timeline.After((long)due.TotalMicroseconds, () => Fire(setting));
            }
        }

        private void Fire(long setting)
        {
            if (setting == _setting)
            {
                Plan(_period, setting);
                callback();
                owner.AfterCallback();
            }
        }
    }

    private Timeline Timeline => timeline;

    private void AfterCallback() => afterCallback();
}
