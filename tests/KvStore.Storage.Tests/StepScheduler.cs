namespace KvStore.Storage.Tests;

/// <summary>Runs background work on the test's own thread, when the test says so and in the order it says. Delays are only an order.</summary>
public sealed class StepScheduler : StorageScheduler
{
    private readonly List<IThreadPoolWorkItem> _queue = [];
    private readonly List<IThreadPoolWorkItem> _later = [];

    public bool IsIdle => _queue.Count == 0 && _later.Count == 0;

    public override void Queue(IThreadPoolWorkItem work) => _queue.Add(work);

    public override void QueueAfter(TimeSpan delay, IThreadPoolWorkItem work) => _later.Add(work);

    /// <summary>Runs one item, chosen by the random source; a delayed one only when nothing else is left. Returns whether there was one.</summary>
    public bool Step(Random random)
    {
        var source = _queue.Count > 0 ? _queue : _later;
        if (source.Count == 0)
        {
            return false;
        }

        var index = random.Next(source.Count);
        var work = source[index];
        source.RemoveAt(index);
        work.Execute();
        return true;
    }

    public void RunAll(Random random)
    {
        while (Step(random))
        {
        }
    }
}
