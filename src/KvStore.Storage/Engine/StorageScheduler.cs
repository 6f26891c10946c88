namespace KvStore.Storage;

/// <summary>
/// Where storage's background work runs: the thread pool in a node, one deterministic queue in the simulator. An item may be queued again while it runs; storage takes care that it never
/// runs twice at a time.
/// </summary>
public abstract class StorageScheduler
{
    public static StorageScheduler ThreadPool { get; } = new PoolScheduler();

    /// <summary>For latencies and the age of cached facts.</summary>
    public virtual TimeProvider Time => TimeProvider.System;

    public abstract void Queue(IThreadPoolWorkItem work);

    public abstract void QueueAfter(TimeSpan delay, IThreadPoolWorkItem work);

    private sealed class PoolScheduler : StorageScheduler
    {
        public override void Queue(IThreadPoolWorkItem work) => System.Threading.ThreadPool.UnsafeQueueUserWorkItem(work, preferLocal: false);

        public override void QueueAfter(TimeSpan delay, IThreadPoolWorkItem work) => new OneShot(work).Start(delay);
    }

    private sealed class OneShot(IThreadPoolWorkItem work)
    {
        private Timer? _timer;

        public void Start(TimeSpan delay)
        {
            _timer = new Timer(static state => ((OneShot)state!).Fire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _timer.Change(delay, Timeout.InfiniteTimeSpan);
        }

        private void Fire()
        {
            _timer?.Dispose();
            work.Execute();
        }
    }
}
