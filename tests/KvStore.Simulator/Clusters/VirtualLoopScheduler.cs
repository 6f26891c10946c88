using KvStore.Node.Loops;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Clusters;

/// <summary>Gives the shard loops of one process their turns and their time: each step a little after it was asked for, none while the process stands still, none when it is dead.</summary>
internal sealed class VirtualLoopScheduler(Timeline timeline, ClusterNode node, Random random) : LoopScheduler
{
    private const int MaxStepDelayUs = 120;

    // Monotonic clocks of different processes have nothing in common.
    private readonly long _originMs = random.Next(1, 1_000_000);

    public bool IsDead { get; set; }

    public override long NowMs => _originMs + timeline.NowMs;

    public override ulong WallMs => (ulong)(1_700_000_000_000 + timeline.NowMs + node.WallSkewMs);

    public override void Queue(IThreadPoolWorkItem work) => timeline.After(Math.Max(node.StepDelayUs + random.Next(1, MaxStepDelayUs), node.PausedUntilUs - timeline.NowUs), () => Run(work));

    public override ITimer Every(TimeSpan period, Action tick)
    {
        var ticks = new Ticks(this, period, tick);
        ticks.Plan();
        return ticks;
    }

    private void Run(IThreadPoolWorkItem work)
    {
        if (IsDead)
        {
            return;
        }

        if (node.PausedUntilUs > timeline.NowUs)
        {
            Queue(work);
            return;
        }

        work.Execute();
        node.AfterStep();
    }

    private void After(TimeSpan period, Action tick) =>
        timeline.After(Math.Max((long)(period.TotalMicroseconds * node.TickFactor), node.PausedUntilUs - timeline.NowUs), tick);

    private sealed class Ticks(VirtualLoopScheduler scheduler, TimeSpan period, Action tick) : ITimer
    {
        private bool _isOver;

        public void Plan() => scheduler.After(period, Fire);

        public bool Change(TimeSpan dueTime, TimeSpan period) => throw new NotSupportedException("The ticks of loops are never changed.");

        public void Dispose() => _isOver = true;

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Fire()
        {
            if (!_isOver && !scheduler.IsDead)
            {
                Plan();
                tick();
            }
        }
    }
}
