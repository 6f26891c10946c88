using System.Collections.Concurrent;
using KvStore.Core.Replicas;
using KvStore.Storage.Engine;
using KvStore.Storage.Log;

namespace KvStore.Storage.View;

/// <summary>Something to do to the view in its turn, once the log is durable up to <see cref="Needs"/>.</summary>
internal abstract class ViewOperation(ReplicaView view, LogAppender log)
{
    public ReplicaView View { get; } = view;

    /// <summary>What the loop had appended when it ordered this. The view must never know more than the log, or a crash would leave effects without their cause.</summary>
    public LogPosition Needs { get; } = log.Appended;

    public bool IsReady => log.Durable >= Needs;

    public abstract void Run(ViewWriter writer);
}

/// <summary>
/// Applies the replicas' slices and whatever else changes or pins the view, in the order in which it was ordered: the one writer of the store.
/// </summary>
internal sealed class ViewWriter(ViewStore store, ViewReader reader, ViewFlusher flusher, ReplicaViews views, StorageHealth health, StorageScheduler scheduler) : ScheduledWork(scheduler)
{
    private readonly ConcurrentQueue<ViewOperation> _queue = new();
    private readonly ConcurrentBag<ViewSlice> _freeSlices = [];
    private long _dirtyBytes;

    public ViewStore Store { get; } = store;

    public ViewReader Reader { get; } = reader;

    public ViewFlusher Flusher { get; } = flusher;

    public ReplicaViews Views { get; } = views;

    /// <summary>Bytes that were sealed or sent for installing and are not in the store yet.</summary>
    public long DirtyBytes => Interlocked.Read(ref _dirtyBytes);

    public void Order(ViewOperation operation)
    {
        _queue.Enqueue(operation);
        if (operation.IsReady)
        {
            Wake();
        }
    }

    /// <summary>More of the log is durable.</summary>
    public void WakeIfWaiting()
    {
        if (!_queue.IsEmpty)
        {
            Wake();
        }
    }

    public ViewSlice RentSlice() => _freeSlices.TryTake(out var slice) ? slice : new ViewSlice();

    public void Return(ViewSlice slice)
    {
        slice.Clear();
        _freeSlices.Add(slice);
    }

    public void AddDirty(long bytes) => Interlocked.Add(ref _dirtyBytes, bytes);

    protected override void Run()
    {
        try
        {
            // The order among shards does not matter, but one queue keeps every shard's own; a head that waits for the log waits for one sync at most.
            while (!health.IsStopped && _queue.TryPeek(out var operation) && operation.IsReady)
            {
                _queue.TryDequeue(out _);
                operation.Run(this);
            }
        }
        catch (Exception error)
        {
            health.Fail(error);
        }
    }
}
