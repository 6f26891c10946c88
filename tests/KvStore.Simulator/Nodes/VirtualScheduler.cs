using KvStore.Simulator.Engine;
using KvStore.Storage;

namespace KvStore.Simulator.Nodes;

/// <summary>Runs one node's storage work in virtual time, each piece after a delay that stands for the disk. Work of a crashed node is dropped.</summary>
internal sealed class VirtualScheduler(Timeline timeline, Random random) : StorageScheduler
{
    public override TimeProvider Time { get; } = new VirtualTime(timeline);

    /// <summary>Until this moment the disk does nothing.</summary>
    public long StalledUntilUs { get; set; }

    /// <summary>What every piece of work takes at least: a disk whose every fsync is slow.</summary>
    public int SlownessUs { get; set; }

    public bool IsDead { get; set; }

    public override void Queue(IThreadPoolWorkItem work) => Plan(SlownessUs + random.Next(20, 1_500), work);

    public override void QueueAfter(TimeSpan delay, IThreadPoolWorkItem work) => Plan((long)delay.TotalMicroseconds, work);

    private void Plan(long delayUs, IThreadPoolWorkItem work) => timeline.After(Math.Max(delayUs, StalledUntilUs - timeline.NowUs), () => Run(work));

    private void Run(IThreadPoolWorkItem work)
    {
        if (IsDead)
        {
            return;
        }

        if (StalledUntilUs > timeline.NowUs)
        {
            Plan(0, work);
            return;
        }

        work.Execute();
    }
}
