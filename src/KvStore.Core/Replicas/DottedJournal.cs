using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Persists what the dotted replica changes: one log record and one view record per change, in one turn. Knows up to which running number the log is durable.
/// </summary>
internal sealed class DottedJournal(IReplicaStorage storage, ViewState view)
{
    private readonly Queue<(LogPosition Position, ulong Number)> _appended = new();

    /// <summary>Told of every change of a record, in the turn in which it is made.</summary>
    public Action<DottedChange>? Changed { get; set; }

    /// <summary>The running number up to which everything is durable.</summary>
    public ulong Durable { get; private set; }

    public bool Waits => _appended.Count > 0;

    public void Persist(in DottedChange change, SyncUrgency urgency)
    {
        Append(change.Number, change.LogRecord, urgency);
        PutIntoView(change);
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

    /// <summary>The stored object of a key, if memory knows it.</summary>
    public bool TryFind(ReadOnlySpan<byte> key, out DottedObject stored)
    {
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

    private void Append(ulong number, ReadOnlyMemory<byte> record, SyncUrgency urgency)
    {
        LogPosition position = storage.Append(LogRecordKind.Dotted, Term.Zero, new LogIndex(number), record.Span, urgency);
        _appended.Enqueue((position, number));
        view.AdvanceDotted(number);
    }
}
