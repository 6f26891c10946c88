using System.Collections.Concurrent;
using KvStore.Storage.Engine;
using KvStore.Storage.Log;

namespace KvStore.Storage.View;

/// <summary>Makes what is in the store durable, and with it the replicas' positions, so that the log may shrink.</summary>
internal sealed class ViewFlusher(ViewStore store, ReplicaViews views, StorageHealth health, StorageScheduler scheduler) : ScheduledWork(scheduler)
{
    private readonly ConcurrentQueue<Action> _waiting = new();
    private readonly List<(ReplicaView View, Core.Replicas.ViewPosition Position)> _covered = [];
    private readonly List<Action> _served = [];
    private int _wanted;

    /// <summary>Set once: the log may try to drop segments.</summary>
    public LogWriter? Log { get; set; }

    public void Request()
    {
        Volatile.Write(ref _wanted, 1);
        Wake();
    }

    /// <summary>Calls back when everything in the store now is durable.</summary>
    public void Request(Action done)
    {
        _waiting.Enqueue(done);
        Request();
    }

    protected override void Run()
    {
        while (!health.IsStopped && Interlocked.Exchange(ref _wanted, 0) != 0)
        {
            try
            {
                FlushOnce();
            }
            catch (Exception error)
            {
                health.Fail(error);
            }
        }
    }

    private void FlushOnce()
    {
        // Noted before the flush begins: what is written while it runs may or may not be in it.
        foreach (var view in views.All)
        {
            var written = view.WrittenPosition;
            if (written != view.DurablePosition)
            {
                _covered.Add((view, written));
            }
        }

        while (_waiting.TryDequeue(out var done))
        {
            _served.Add(done);
        }

        if (_covered.Count > 0 || _served.Count > 0)
        {
            store.Flush();
        }

        foreach (var (view, position) in _covered)
        {
            view.SetDurable(position);
        }

        foreach (var done in _served)
        {
            done();
        }

        _covered.Clear();
        _served.Clear();
        views.NoteRetentionChanged();
        Log?.Wake();
    }
}
