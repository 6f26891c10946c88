using System.Collections.Concurrent;
using KvStore.Storage.Engine;

namespace KvStore.Storage.Log;

/// <summary>
/// The node's one log, shared by all loops and both replication engines. Loops append into buffers of their own (<see cref="LogAppender"/>) and submit them at the end of a step; one
/// <see cref="LogWriter"/> takes whatever all of them have submitted, writes it and syncs once.
/// </summary>
internal sealed class WriteAheadLog
{
    /// <summary>How long a record that nobody waits for may stay unsynced.</summary>
    public static readonly TimeSpan LazyDelay = TimeSpan.FromMilliseconds(10);

    private readonly StorageHealth _health;
    private readonly StorageScheduler _scheduler;
    private readonly ConcurrentQueue<LogBuffer> _submitted = new();
    private readonly LogWriter _writer;
    private readonly LazyTimer _lazy;
    private readonly long _maxUnsyncedBytes;
    private long _unsyncedBytes;
    private int _urgent;
    private int _lazyArmed;

    public WriteAheadLog(LogWriterSetup setup, StorageScheduler scheduler, long maxUnsyncedBytes)
    {
        _health = setup.Health;
        _scheduler = scheduler;
        _maxUnsyncedBytes = maxUnsyncedBytes;
        _lazy = new LazyTimer(this);
        _writer = new LogWriter(this, setup, scheduler);
        MaxPayloadBytes = (int)Math.Min((setup.SegmentBytes - SegmentHeader.PageBytes) / 2, int.MaxValue / 4);
    }

    /// <summary>A record must fit into a segment beside the records that are carried over.</summary>
    public int MaxPayloadBytes { get; }

    public bool IsFailed => _health.IsStopped;

    public LogWriter Writer => _writer;

    /// <summary>Too much waits for the disk: the loops should take no more until it has caught up.</summary>
    public bool IsOverloaded => UnsyncedBytes > _maxUnsyncedBytes;

    public long UnsyncedBytes => Interlocked.Read(ref _unsyncedBytes);

    public void Submit(LogBuffer buffer)
    {
        if (IsFailed)
        {
            return;
        }

        // Read before it is queued: from then on it belongs to the writer.
        var urgent = buffer.IsUrgent;
        Interlocked.Add(ref _unsyncedBytes, buffer.Length);
        _submitted.Enqueue(buffer);
        if (urgent)
        {
            Volatile.Write(ref _urgent, 1);
            _writer.Wake();
        }
        else if (Interlocked.Exchange(ref _lazyArmed, 1) == 0)
        {
            _scheduler.QueueAfter(LazyDelay, _lazy);
        }
    }

    /// <summary>From the writer: takes everything submitted, if somebody waits for some of it.</summary>
    public bool TryTakeGroup(List<LogBuffer> group, bool evenIfLazy)
    {
        if (Interlocked.Exchange(ref _urgent, 0) == 0 && !evenIfLazy)
        {
            return false;
        }

        // Bounded by what is there now, so that a fast loop can't keep one group open for ever.
        for (var count = _submitted.Count; count > 0 && _submitted.TryDequeue(out var buffer); count--)
        {
            group.Add(buffer);
        }

        return group.Count > 0;
    }

    /// <summary>From the writer: these are durable, or lost for good.</summary>
    public void Settle(List<LogBuffer> group)
    {
        long bytes = 0;
        foreach (var buffer in group)
        {
            bytes += buffer.Length;
            buffer.Owner.Return(buffer);
        }

        Interlocked.Add(ref _unsyncedBytes, -bytes);
    }

    private sealed class LazyTimer(WriteAheadLog log) : IThreadPoolWorkItem
    {
        public void Execute()
        {
            Volatile.Write(ref log._lazyArmed, 0);
            if (!log._submitted.IsEmpty)
            {
                Volatile.Write(ref log._urgent, 1);
                log._writer.Wake();
            }
        }
    }
}
