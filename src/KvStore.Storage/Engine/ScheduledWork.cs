namespace KvStore.Storage.Engine;

/// <summary>
/// Background work that is woken by flag, runs on the scheduler and never twice at a time. A wake that comes while it runs makes it run once more; nobody ever waits for the gate, but a
/// caller of <see cref="RunInline"/>.
/// </summary>
internal abstract class ScheduledWork(StorageScheduler scheduler) : IThreadPoolWorkItem
{
    private readonly Lock _gate = new();
    private int _scheduled;
    private int _again;

    public void Wake()
    {
        if (Interlocked.Exchange(ref _scheduled, 1) == 0)
        {
            scheduler.Queue(this);
        }
    }

    public void Execute()
    {
        Interlocked.Exchange(ref _scheduled, 0);
        Interlocked.Exchange(ref _again, 1);

        // Whoever holds the gate looks at the flag again after leaving it, so a wake is never lost.
        while (Volatile.Read(ref _again) == 1 && _gate.TryEnter())
        {
            try
            {
                Interlocked.Exchange(ref _again, 0);
                Run();
            }
            finally
            {
                _gate.Exit();
            }
        }
    }

    /// <summary>Does what is to do on the calling thread, behind a run in progress. For closing only: it may wait.</summary>
    public void RunInline()
    {
        lock (_gate)
        {
            Run();
        }
    }

    /// <summary>Does everything there is to do. Must not throw.</summary>
    protected abstract void Run();
}
