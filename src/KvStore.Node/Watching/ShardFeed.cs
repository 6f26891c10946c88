using System.Collections.Concurrent;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Watching;

namespace KvStore.Node.Watching;

/// <summary>
/// The window of one replica, and who reads from it. While nobody does, the replica's loop appends to the window itself, which is cheaper than handing over. As soon as somebody does, the loop only leaves the changes here, and a
/// pool thread appends, finds the readers and wakes them.
/// </summary>
internal sealed class ShardFeed(ShardId shard, ChangeWindow window) : IThreadPoolWorkItem
{
    /// <summary>With so many changes left here that no thread has come for, the loop appends them itself: it waits for a reader then, instead of filling the memory.</summary>
    private const int MostQueued = 8_192;

    private readonly ConcurrentQueue<List<ShardChange>> _queue = new();
    private readonly List<ShardChange> _direct = [];
    private readonly WatchIndex _index = new();
    private readonly HashSet<ShardWatcher> _waiting = [];
    private readonly HashSet<ShardWatcher> _watchers = [];
    private readonly List<ShardWatcher> _found = [];
    private readonly List<ShardWatcher> _woken = [];
    private int _queued;
    private int _scheduled;
    private volatile bool _isWatched;

    public ShardId Shard => shard;

    /// <summary>Guards the window, and the cursors of its readers.</summary>
    public Lock Gate { get; } = new();

    /// <summary>Under the gate.</summary>
    public ChangeWindow Window => window;

    public bool IsWatched => _isWatched;

    /// <summary>The loop: the replica has made changes.</summary>
    public void Publish(ReplicaWatch source)
    {
        if (!_isWatched && _queue.IsEmpty && Gate.TryEnter())
        {
            try
            {
                if (!_isWatched && _queue.IsEmpty)
                {
                    source.TakeChanges(_direct);
                    Append(_direct);
                    _direct.Clear();
                    return;
                }
            }
            finally
            {
                Gate.Exit();
            }
        }

        List<ShardChange> changes = [];
        source.TakeChanges(changes);
        _queue.Enqueue(changes);
        if (Interlocked.Add(ref _queued, changes.Count) > MostQueued)
        {
            Drain();
        }
        else if (Interlocked.Exchange(ref _scheduled, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        Volatile.Write(ref _scheduled, 0);
        Interlocked.MemoryBarrier();
        Drain();
    }

    /// <summary>False: the replica has not said yet where it stands.</summary>
    public bool TryAdd(ShardWatcher watcher, WatchPosition? position)
    {
        lock (Gate)
        {
            if (!window.IsReady)
            {
                return false;
            }

            // What is queued is told to whoever comes now as well; nobody can be promised less.
            watcher.Cursor = position is null ? WindowCursor.AtTail(window, watcher.Range) : WindowCursor.From(window, watcher.Range, position);
            _watchers.Add(watcher);
            _index.Add(watcher);
            if (watcher.Cursor.State == CursorState.Waiting)
            {
                _waiting.Add(watcher);
            }

            _isWatched = true;
        }

        return true;
    }

    public void Remove(ShardWatcher watcher)
    {
        lock (Gate)
        {
            if (_watchers.Remove(watcher))
            {
                _index.Remove(watcher);
                _waiting.Remove(watcher);
                _isWatched = _watchers.Count > 0;
            }
        }
    }

    /// <summary>Readers that have waited for too long for what they were told elsewhere are told of a gap. Returns whether others still wait.</summary>
    public bool GiveUpWaiting(long nowMs, long longestMs)
    {
        List<ShardWatcher> gone = [];
        lock (Gate)
        {
            foreach (ShardWatcher watcher in _waiting)
            {
                watcher.WaitsSinceMs = watcher.WaitsSinceMs == 0 ? nowMs : watcher.WaitsSinceMs;
                if (nowMs - watcher.WaitsSinceMs >= longestMs)
                {
                    watcher.Cursor.Abandon();
                    gone.Add(watcher);
                }
            }

            gone.ForEach(watcher => _waiting.Remove(watcher));
            gone.ForEach(watcher => watcher.Wake());
            return _waiting.Count > 0;
        }
    }

    /// <summary>The replica is not fit to be watched any more.</summary>
    public void EndAll(Refusal unfit)
    {
        lock (Gate)
        {
            foreach (ShardWatcher watcher in _watchers)
            {
                watcher.Unfit = unfit;
                watcher.Wake();
            }
        }
    }

    /// <summary>Every reader says that it lives, and how far it is.</summary>
    public void ProgressAll()
    {
        lock (Gate)
        {
            foreach (ShardWatcher watcher in _watchers)
            {
                watcher.ProgressDue = true;
                watcher.Wake();
            }
        }
    }

    private void Drain()
    {
        ShardWatcher[] woken;
        lock (Gate)
        {
            while (_queue.TryDequeue(out List<ShardChange>? changes))
            {
                Interlocked.Add(ref _queued, -changes.Count);
                Append(changes);
            }

            if (_waiting.Count > 0)
            {
                _waiting.RemoveWhere(Place);
            }

            woken = [.. _woken];
            _woken.Clear();
        }

        foreach (ShardWatcher watcher in woken)
        {
            watcher.Wake();
        }
    }

    private void Append(List<ShardChange> changes)
    {
        foreach (ShardChange change in changes)
        {
            window.Append(change);
            if (_watchers.Count > 0)
            {
                Tell(change);
            }
        }
    }

    private void Tell(ShardChange change)
    {
        if (change.Kind == ShardChangeKind.Reset)
        {
            foreach (ShardWatcher watcher in _watchers)
            {
                watcher.Replaced = true;
                _woken.Add(watcher);
            }

            return;
        }

        if (change.IsVisible)
        {
            _index.Find(change.Key.Span, _found);
            if (_found.Count > 0)
            {
                window.MarkNewest();
            }

            foreach (ShardWatcher watcher in _found)
            {
                if (watcher.Cursor.WakeAt(window.Next - 1))
                {
                    _woken.Add(watcher);
                }
            }

            _found.Clear();
        }
    }

    private bool Place(ShardWatcher watcher)
    {
        watcher.Cursor.Place(window);
        if (watcher.Cursor.State == CursorState.Waiting)
        {
            return false;
        }

        _woken.Add(watcher);
        return true;
    }
}
