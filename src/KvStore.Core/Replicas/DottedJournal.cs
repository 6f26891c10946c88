using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Persists what the dotted replica changes: one log record and one view record per change, in one turn. Knows up to which running number the log is durable. Where the data lives in memory only, nothing goes to log or view, and
/// what was changed counts as durable at the end of the turn.
/// </summary>
internal sealed class DottedJournal(IReplicaStorage storage, ViewState view, RecordLoader loader, MemoryRecords? memory)
{
    private readonly Queue<(LogPosition Position, ulong Number)> _appended = new();

    private ulong _inMemory;

    /// <summary>Not null: the data lives here only.</summary>
    public MemoryRecords? Memory => memory;

    /// <summary>Told of each object that was evicted from memory, in the turn in which it happens.</summary>
    public Action<Key, DottedObject>? Evicted { get; set; }

    /// <summary>Objects evicted since the start.</summary>
    public long Evictions { get; private set; }

    /// <summary>Told of every change of a record, in the turn in which it is made.</summary>
    public Action<DottedChange>? Changed { get; set; }

    /// <summary>The running number up to which everything is durable.</summary>
    public ulong Durable { get; private set; }

    public bool Waits => _appended.Count > 0;

    public void Persist(in DottedChange change, SyncUrgency urgency)
    {
        Append(change.Number, change.LogRecord, urgency);
        if (memory is not null)
        {
            PutIntoMemory(memory, change);
        }
        else
        {
            PutIntoView(change);
        }

        Changed?.Invoke(change);
    }

    public void Persist(in DottedMark mark) => Append(mark.Number, mark.LogRecord, SyncUrgency.Now);

    public void PutIntoView(in DottedChange change)
    {
        ConflictIndex.Update(storage, change);
        if (change.Removes)
        {
            storage.Remove(RecordSpace.Data, change.Key.Span);
        }
        else
        {
            storage.Put(RecordSpace.Data, change.Key.Span, change.StoredRecord);
        }
    }

    /// <summary>At the end of a turn. Returns whether there were changes in memory.</summary>
    public bool TakeMemory()
    {
        bool any = _inMemory > Durable;
        Durable = Math.Max(Durable, _inMemory);
        return any;
    }

    /// <summary>Reads records in key order as they stand.</summary>
    public void Scan(RecordSpace space, ReadOnlyMemory<byte> prefix, ReadOnlyMemory<byte> after, int maxRecords, int maxBytes, Action<ScanPage> then)
    {
        if (memory is not null)
        {
            then(memory.Scan(space, prefix, after, maxRecords, maxBytes));
        }
        else
        {
            loader.Scan(space, prefix, after, maxRecords, maxBytes, then);
        }
    }

    /// <summary>A record that says nothing any more goes without a trace.</summary>
    public void Forget(Key key, DottedObject stored)
    {
        if (memory is null)
        {
            storage.Remove(RecordSpace.Data, key.Span);
        }
        else if (memory.Remove(key))
        {
            Evicted?.Invoke(key, stored);
        }
    }

    /// <summary>Returns whether more became durable.</summary>
    public bool OnDurable(LogPosition position)
    {
        ulong before = Durable;
        while (_appended.TryPeek(out (LogPosition Position, ulong Number) next) && next.Position <= position)
        {
            _appended.Dequeue();
            Durable = next.Number;
        }

        return Durable > before;
    }

    /// <summary>After a restart: what was replayed is durable.</summary>
    public void Restore(ulong number) => Durable = number;

    /// <inheritdoc cref="IReplicaStorage.WarmPays"/>
    public bool WarmPays => memory is not null ? memory.Count >= Warming.LeastRecords : storage.WarmPays;

    /// <inheritdoc cref="IReplicaStorage.Warm"/>
    public int Warm(int keyHash, WarmStep step) => memory is not null ? memory.Warm(keyHash, step) : storage.Warm(RecordSpace.Data, keyHash, step);

    /// <summary>The stored object of a key, if memory knows it.</summary>
    public bool TryFind(ReadOnlySpan<byte> key, out DottedObject stored)
    {
        if (memory is not null)
        {
            stored = memory.TryGet(key, out ReadOnlyMemory<byte> kept) ? DottedObject.Decode(kept) : DottedObject.Empty;
            return true;
        }

        switch (storage.Find(RecordSpace.Data, key, out ReadOnlyMemory<byte> record))
        {
            case RecordLookup.Found:
                stored = DottedObject.Decode(record);
                return true;
            case RecordLookup.Absent:
                stored = DottedObject.Empty;
                return true;
            default:
                stored = DottedObject.Empty;
                return false;
        }
    }

    /// <summary>The lookup that Core/Eventual asks for, where the caller has made sure that the record is resident.</summary>
    public DottedObject FindResident(Key key)
    {
        Invariant.Assert(TryFind(key.Span, out DottedObject stored), "the record was made resident before");
        return stored;
    }

    private void PutIntoMemory(MemoryRecords records, in DottedChange change)
    {
        if (change.Removes)
        {
            records.Remove(change.Key);
            return;
        }

        records.Put(change.Key, change.StoredRecord, change.Stored.SiblingCount > 1);
        while (records.IsFull && records.TryEvict(change.Key, out Key key, out ReadOnlyMemory<byte> evicted))
        {
            Evictions++;
            Evicted?.Invoke(key, DottedObject.Decode(evicted));
        }
    }

    private void Append(ulong number, ReadOnlyMemory<byte> record, SyncUrgency urgency)
    {
        if (memory is not null)
        {
            _inMemory = number;
            return;
        }

        LogPosition position = storage.Append(LogRecordKind.Dotted, Term.Zero, new LogIndex(number), record.Span, urgency);
        _appended.Enqueue((position, number));
        view.AdvanceDotted(number);
    }
}
