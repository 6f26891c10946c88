namespace KvStore.Storage.Engine;

/// <summary>The one place that knows whether storage still works. The first error wins, is final, and is told to every loop once.</summary>
internal sealed class StorageHealth
{
    private readonly Lock _gate = new();
    private readonly List<IStorageSink> _sinks = [];
    private Exception? _error;
    private int _stopped;

    /// <summary>Nothing may be written any more: storage has failed, or was closed or abandoned.</summary>
    public bool IsStopped => Volatile.Read(ref _stopped) != 0;

    public Exception? Error => Volatile.Read(ref _error);

    public void Add(IStorageSink sink)
    {
        lock (_gate)
        {
            _sinks.Add(sink);
        }

        if (Error is { } error)
        {
            sink.Post(new StorageEvent(StorageEventKind.Failed) { Error = error });
        }
    }

    public void Fail(Exception error)
    {
        if (Interlocked.CompareExchange(ref _error, error, null) is not null || IsStopped)
        {
            return;
        }

        Stop();
        IStorageSink[] sinks;
        lock (_gate)
        {
            sinks = [.. _sinks];
        }

        foreach (var sink in sinks)
        {
            sink.Post(new StorageEvent(StorageEventKind.Failed) { Error = error });
        }
    }

    public void Stop() => Volatile.Write(ref _stopped, 1);
}
