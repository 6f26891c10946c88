using KvStore.Core.Replicas;
using KvStore.Storage.Engine;
using KvStore.Storage.View;

namespace KvStore.Storage.Log;

/// <summary>What a <see cref="LogWriter"/> is made of.</summary>
internal sealed record LogWriterSetup(LogSegments Segments, CarriedRecords Carried, RecoveredLog Recovered, ReplicaViews Views, StorageHealth Health, long SegmentBytes, long RetainedBytes);

/// <summary>
/// The one writer of the log. Takes the buffers of all loops, numbers them as a batch, adds checksums, writes, syncs once, and reports to each loop how far it is durable.
/// </summary>
internal sealed class LogWriter : ScheduledWork
{
    private const int MaxStagedBytes = 4 << 20;

    private readonly WriteAheadLog _log;
    private readonly LogSegments _segments;
    private readonly CarriedRecords _carried;
    private readonly ReplicaViews _views;
    private readonly StorageHealth _health;
    private readonly TimeProvider _time;
    private readonly long _retainedBytes;
    private readonly List<LogBuffer> _group = [];
    private readonly List<LogAppender> _told = [];
    private byte[] _staging = new byte[64 * 1024];
    private int _staged;
    private ulong _batch;
    private ulong _durableBatch;
    private bool _markWritten;
    private bool _carriedWritten;
    private bool _unsynced;
    private bool _inBatch;
    private bool _drain;
    private ulong _flushAskedIn;
    private long _syncs;
    private long _bytes;
    private long _lastSyncTicks;

    public LogWriter(WriteAheadLog log, LogWriterSetup setup, StorageScheduler scheduler)
        : base(scheduler)
    {
        _log = log;
        _segments = setup.Segments;
        _carried = setup.Carried;
        _views = setup.Views;
        _health = setup.Health;
        _time = scheduler.Time;
        _retainedBytes = setup.RetainedBytes;
        _batch = setup.Recovered.LastBatch;
        _durableBatch = _batch;
        if (_batch > 0 && !setup.Recovered.EndsWithMark)
        {
            MarkRecovered();
        }
    }

    public long Syncs => Interlocked.Read(ref _syncs);

    /// <summary>The number of the last batch that is known to be durable.</summary>
    public ulong DurableBatch => Volatile.Read(ref _durableBatch);

    public long BytesWritten => Interlocked.Read(ref _bytes);

    public TimeSpan LastSyncLatency => TimeSpan.FromTicks(Interlocked.Read(ref _lastSyncTicks));

    /// <summary>Set once, before the first wake: what to do when the log holds more than it should, and when loops may go on because more is durable.</summary>
    public Action? WantsViewFlush { get; set; }

    public Action? MadeDurable { get; set; }

    /// <summary>Writes what is there, lazy or not. For closing.</summary>
    public void Drain()
    {
        _drain = true;
        RunInline();
    }

    protected override void Run()
    {
        if (_health.IsStopped)
        {
            return;
        }

        try
        {
            while (_log.TryTakeGroup(_group, _drain))
            {
                WriteGroup();
            }

            if (_views.TakeRetentionChanged())
            {
                Trim();
            }

            WriteIdleMark();
        }
        catch (Exception error)
        {
            // Whatever it was, the disk's state is unknown from here on; an fsync is never tried again (fsyncgate, 2018).
            _log.Settle(_group);
            _group.Clear();
            _health.Fail(error);
        }
    }

    private void WriteGroup()
    {
        foreach (var buffer in _group)
        {
            var bytes = buffer.Bytes;
            while (!bytes.IsEmpty)
            {
                var total = LogFormat.TotalBytes(LogFormat.PayloadBytes(bytes));
                Place(bytes[..total]);
                bytes = bytes[total..];
            }
        }

        Sync();
        EndBatch();
        Volatile.Write(ref _durableBatch, _batch);
        Report();
        if (_segments.RetainedBytes > _retainedBytes)
        {
            Trim();
            AskForViewFlush();
        }
    }

    /// <summary>Once per segment: while a replica holds on to the log, flushing again and again would only cut the view into small files.</summary>
    private void AskForViewFlush()
    {
        var sequence = _segments.Current.Header.Sequence;
        if (_segments.RetainedBytes > _retainedBytes && sequence != _flushAskedIn)
        {
            _flushAskedIn = sequence;
            WantsViewFlush?.Invoke();
        }
    }

    private void Place(ReadOnlySpan<byte> record)
    {
        var overhead = LogFormat.HeaderBytes + (_carriedWritten ? 0 : _carried.TotalBytes);
        if (!_segments.Fits(_staged + record.Length + overhead))
        {
            Sync();
            EndBatch();
            if (_markWritten)
            {
                // The mark of an empty batch stands in the old segment.
                _batch++;
                _markWritten = false;
            }

            _segments.Switch(_batch + 1);
            _carriedWritten = false;
            if (!_segments.Fits(record.Length + LogFormat.HeaderBytes + _carried.TotalBytes))
            {
                throw new IOException("A record and the records that are carried over do not fit into one log segment: raise SegmentBytes.");
            }
        }

        BeginBatch();
        Stage(record);
        if (_staged >= MaxStagedBytes)
        {
            WriteStaged();
        }
    }

    private void BeginBatch()
    {
        if (_inBatch)
        {
            return;
        }

        _inBatch = true;
        if (!_markWritten)
        {
            StageMark();
        }

        _markWritten = false;
        _batch++;
        if (_carriedWritten)
        {
            return;
        }

        _carriedWritten = true;
        foreach (var ((shard, kind), carried) in _carried.All)
        {
            var target = Reserve(LogFormat.TotalBytes(carried.Payload.Length));
            LogFormat.Lay(target, shard, (byte)((byte)kind | LogFormat.CarriedFlag), carried.Term, carried.Index, carried.Payload);
            LogFormat.Sign(target, _segments.Seed);
        }
    }

    private void EndBatch() => _inBatch = false;

    private void StageMark()
    {
        var target = Reserve(LogFormat.HeaderBytes);
        LogFormat.Lay(target, 0, (byte)LogFormat.BatchMark, default, new Core.Identity.LogIndex(_batch + 1), default);
        LogFormat.Sign(target, _segments.Seed);
    }

    private void Stage(ReadOnlySpan<byte> record)
    {
        var target = Reserve(record.Length);
        record.CopyTo(target);
        LogFormat.Sign(target, _segments.Seed);
        _segments.Current.Note(record);
        if (LogFormat.Kind(record) is not (LogRecordKind.Entry or LogRecordKind.Dotted or LogRecordKind.Overlay))
        {
            _carried.Note(record);
            if (LogFormat.Kind(record) == LogFormat.ShardRemoved)
            {
                _segments.Forget(LogFormat.Shard(record));
            }
        }
    }

    private Span<byte> Reserve(int bytes)
    {
        if (_staging.Length - _staged < bytes)
        {
            Array.Resize(ref _staging, Math.Max(_staging.Length * 2, _staged + bytes));
        }

        _staged += bytes;
        return _staging.AsSpan(_staged - bytes, bytes);
    }

    private void WriteStaged()
    {
        if (_staged > 0)
        {
            _segments.Append(_staging.AsSpan(0, _staged));
            Interlocked.Add(ref _bytes, _staged);
            _staged = 0;
            _unsynced = true;
        }
    }

    private void Sync()
    {
        WriteStaged();
        if (!_unsynced)
        {
            return;
        }

        var start = _time.GetTimestamp();
        _segments.SyncCurrent();
        Interlocked.Exchange(ref _lastSyncTicks, _time.GetElapsedTime(start).Ticks);
        Interlocked.Increment(ref _syncs);
        _unsynced = false;
    }

    private void Report()
    {
        foreach (var buffer in _group)
        {
            var owner = buffer.Owner;
            owner.SetDurable(buffer.Last);
            if (!owner.IsInGroup)
            {
                owner.IsInGroup = true;
                _told.Add(owner);
            }
        }

        _log.Settle(_group);
        _group.Clear();
        foreach (var owner in _told)
        {
            owner.IsInGroup = false;
            owner.Sink.Post(new StorageEvent(StorageEventKind.Durable) { Durable = owner.Durable });
        }

        _told.Clear();
        MadeDurable?.Invoke();
    }

    /// <summary>
    /// Says that all before it had been synced. It is not synced itself: the kernel writes it out in its own time, and a crash of the process does not lose it.
    /// </summary>
    private void WriteIdleMark()
    {
        if (!_markWritten && _carriedWritten && _segments.Fits(LogFormat.HeaderBytes))
        {
            StageMark();
            WriteStaged();
            _markWritten = true;
        }
    }

    /// <summary>
    /// A power loss took the mark behind the last batch, and recovery has accepted that batch: from here on it counts as durable, and damage to it must not look like a torn write.
    /// </summary>
    private void MarkRecovered()
    {
        if (_segments.Fits(LogFormat.HeaderBytes))
        {
            StageMark();
            Sync();
            _markWritten = true;
        }
    }

    private void Trim()
    {
        // The segment in use must hold the carried records durably before an older one may go.
        if (_carriedWritten)
        {
            _segments.DropReleased(_views);
        }
    }
}
