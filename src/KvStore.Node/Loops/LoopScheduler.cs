namespace KvStore.Node.Loops;

/// <summary>
/// Where the shard loops of a node get their turns and their time from: thread pool and clocks of the machine in a node, one deterministic queue in the simulator. Nothing in a loop asks anybody else.
/// </summary>
internal abstract class LoopScheduler
{
    public static LoopScheduler ThreadPool { get; } = new PoolScheduler(TimeProvider.System);

    /// <summary>The thread pool, with another wall clock.</summary>
    public static LoopScheduler ThreadPoolWith(TimeProvider wall) => wall == TimeProvider.System ? ThreadPool : new PoolScheduler(wall);

    /// <summary>Monotonic milliseconds, for deadlines and ages.</summary>
    public abstract long NowMs { get; }

    /// <summary>The wall clock, Unix milliseconds. May jump.</summary>
    public abstract ulong WallMs { get; }

    /// <summary>Has the item executed soon, after this call. The caller takes care that it never waits here twice.</summary>
    public abstract void Queue(IThreadPoolWorkItem work);

    /// <summary>The same for a caller that <see cref="Every"/> called: its thread may take the turn at once, so that a tick wakes one thread and not two.</summary>
    public virtual void QueueFromTick(IThreadPoolWorkItem work) => Queue(work);

    /// <summary>Calls until it is disposed of.</summary>
    public abstract ITimer Every(TimeSpan period, Action tick);

    private sealed class PoolScheduler(TimeProvider wall) : LoopScheduler
    {
        public override long NowMs => Environment.TickCount64;

        public override ulong WallMs => (ulong)wall.GetUtcNow().ToUnixTimeMilliseconds();

        public override void Queue(IThreadPoolWorkItem work) => System.Threading.ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal: false);

        public override void QueueFromTick(IThreadPoolWorkItem work) => work.Execute();

        public override ITimer Every(TimeSpan period, Action tick) => TimeProvider.System.CreateTimer(_ => tick(), null, period, period);
    }
}
