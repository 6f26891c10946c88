using KvStore.Storage;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Runs storage work on the test's own thread, when the test says so. Delays are only an order.</summary>
internal sealed class PumpedScheduler : StorageScheduler
{
    private readonly Queue<IThreadPoolWorkItem> _now = new();
    private readonly Queue<IThreadPoolWorkItem> _later = new();

    public bool IsIdle => _now.Count == 0 && _later.Count == 0;

    public override void Queue(IThreadPoolWorkItem work) => _now.Enqueue(work);

    public override void QueueAfter(TimeSpan delay, IThreadPoolWorkItem work) => _later.Enqueue(work);

    /// <summary>Runs one item. Returns whether there was one.</summary>
    public bool Step()
    {
        if (!_now.TryDequeue(out IThreadPoolWorkItem? work) && !_later.TryDequeue(out work))
        {
            return false;
        }

        work.Execute();
        return true;
    }
}
