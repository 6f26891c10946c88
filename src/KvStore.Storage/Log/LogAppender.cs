using System.Collections.Concurrent;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage.Log;

/// <summary>One loop's end of the log. All calls but those marked otherwise come from that loop; none takes a lock or does I/O.</summary>
internal sealed class LogAppender(WriteAheadLog log, IStorageSink sink)
{
    private readonly ConcurrentQueue<LogBuffer> _free = new();
    private LogBuffer? _current;
    private long _appended;
    private long _durable;

    public IStorageSink Sink { get; } = sink;

    /// <summary>The position of the last append.</summary>
    public LogPosition Appended => new(_appended);

    /// <summary>What would survive a power loss. From any thread.</summary>
    public LogPosition Durable => new(Volatile.Read(ref _durable));

    /// <summary>Bytes appended and not yet handed to the writer.</summary>
    public int PendingBytes => _current?.Length ?? 0;

    /// <summary>Set by the writer for the time of one group.</summary>
    public bool IsInGroup { get; set; }

    public LogPosition Append(ulong shard, LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(payload.Length, log.MaxPayloadBytes);
        var position = new LogPosition(++_appended);
        if (log.IsFailed)
        {
            return position;
        }

        _current ??= _free.TryDequeue(out var free) ? free : new LogBuffer(this);
        _current.Add(shard, kind, term, index, payload, urgency, position);
        return position;
    }

    /// <summary>Hands everything appended to the writer. At the end of each loop step.</summary>
    public void Submit()
    {
        if (_current is { Length: > 0 } full)
        {
            _current = null;
            log.Submit(full);
        }
    }

    /// <summary>From the writer: the buffer may be filled again.</summary>
    public void Return(LogBuffer buffer)
    {
        buffer.Reset();
        _free.Enqueue(buffer);
    }

    /// <summary>From the writer, after the sync.</summary>
    public void SetDurable(LogPosition position)
    {
        Volatile.Write(ref _durable, position.Value);
    }
}
