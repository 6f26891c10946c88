namespace KvStore.Client.Operations;

/// <summary>
/// The one timer of a client: every 15 ms it ends what is overdue and wakes what has paused, by looking at all that is under way (8,192 operations take tens of microseconds), instead of one timer and
/// one cancellation registration per operation. Rests when nothing has been under way for a second.
/// </summary>
internal sealed class Sweeper
{
    private const int PeriodMs = 15;
    private const int IdleSweepsBeforeRest = 67;

    private readonly Dispatcher _dispatcher;
    private readonly ITimer _timer;
    private readonly List<KvOperation> _due = [];
    private int _live;
    private int _running;
    private int _sweeping;
    private int _idleSweeps;

    public Sweeper(Dispatcher dispatcher)
    {
        _dispatcher = dispatcher;
        using (ExecutionContext.SuppressFlow())
        {
            _timer = dispatcher.Clock.Time.CreateTimer(static state => ((Sweeper)state!).Sweep(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    public int Live => Volatile.Read(ref _live);

    /// <summary>An operation has begun.</summary>
    public void Enter()
    {
        Interlocked.Increment(ref _live);
        if (Volatile.Read(ref _running) == 0)
        {
            Run();
        }
    }

    /// <summary>An operation is over.</summary>
    public void Leave() => Interlocked.Decrement(ref _live);

    private void Run()
    {
        if (Interlocked.Exchange(ref _running, 1) == 0)
        {
            _timer.Change(TimeSpan.FromMilliseconds(PeriodMs), TimeSpan.FromMilliseconds(PeriodMs));
        }
    }

    private void Sweep()
    {
        if (Interlocked.Exchange(ref _sweeping, 1) == 1)
        {
            return;
        }

        try
        {
            _idleSweeps = Live == 0 ? _idleSweeps + 1 : 0;
            _dispatcher.Sweep(_due);
            if (_idleSweeps >= IdleSweepsBeforeRest)
            {
                Rest();
            }
        }
        finally
        {
            Volatile.Write(ref _sweeping, 0);
        }
    }

    /// <summary>An operation that enters meanwhile either sees that nothing runs, or is seen here.</summary>
    private void Rest()
    {
        _idleSweeps = 0;
        _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        Interlocked.Exchange(ref _running, 0);
        if (Live > 0)
        {
            Run();
        }
    }
}
