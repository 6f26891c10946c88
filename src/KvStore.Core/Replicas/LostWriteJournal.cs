using System.Buffers.Binary;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// The writes that this replica, as a leader, acknowledged before their commit and that were replaced afterwards. A record goes into the log in front of the entries that replace the write, in the
/// same batch, and into the view's <see cref="RecordSpace.Journal"/>, which no snapshot carries; a snapshot that replaces the view takes the journal over first. Holds at most
/// <see cref="ReplicaOptions.LostWriteBytes"/>: the oldest go, and are counted.
/// </summary>
/// <remarks>
/// An entry that was replaced here may still be committed later, from a copy elsewhere (the Raft paper's figure 8): when it is applied here after all, it leaves the journal.
/// </remarks>
public sealed class LostWriteJournal
{
    private const int StateBytes = 16;

    private static readonly byte[] StateKey = [0];

    private readonly IReplicaStorage _storage;
    private readonly ReplicaClock _clock;
    private readonly EarlyAcknowledgements _early;
    private readonly ushort _mark;
    private readonly long _maxBytes;
    private readonly SortedDictionary<ulong, LostWrite> _writes = [];
    private readonly Dictionary<(LogIndex Index, Term Term), ulong> _numbers = [];
    private Term _lastUnremembered;
    private LogIndex _settled;
    private ulong _last;

    internal LostWriteJournal(ShardDescriptor descriptor, ReplicaOptions options, IReplicaStorage storage, ReplicaClock clock, EarlyAcknowledgements early)
    {
        _storage = storage;
        _clock = clock;
        _early = early;
        _mark = WriteCommand.EarlyMarkOf(descriptor.Self.Replica);
        _maxBytes = options.LostWriteBytes;
    }

    public int Count => _writes.Count;

    /// <summary>Bytes of the records that are kept.</summary>
    public long Bytes { get; private set; }

    /// <summary>Records that were dropped for want of room.</summary>
    public ulong Dropped { get; private set; }

    /// <summary>Lost writes found since the start of the process; those that turned out to be committed after all are not taken off.</summary>
    public long Found { get; private set; }

    /// <summary>The oldest first, those above a number, until this many bytes are full; at least one.</summary>
    public IReadOnlyList<LostWrite> Read(ulong above, int maxBytes)
    {
        var page = new List<LostWrite>();
        int bytes = 0;
        foreach (LostWrite write in _writes.Values)
        {
            if (write.Number > above)
            {
                bytes += write.Record.Length;
                if (page.Count > 0 && bytes > maxBytes)
                {
                    break;
                }

                page.Add(write);
            }
        }

        return page;
    }

    /// <summary>Forgets the records up to a number: somebody has read them. Returns how many those were. Durable with the next sync.</summary>
    internal int Clear(ulong upTo)
    {
        upTo = Math.Min(upTo, _last);
        byte[] payload = new byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(payload, upTo);
        _storage.Append(LogRecordKind.LostWritesCleared, default, default, payload, SyncUrgency.Now);
        return Remove(upTo);
    }

    /// <summary>These entries are replaced by what is appended next: the lost ones among them go into the log before.</summary>
    internal LogPosition? OnReplaced(ReadOnlySpan<Entry> replaced)
    {
        if (replaced.Length == 0)
        {
            return null;
        }

        // A tail may have been replaced more than once since the last turn.
        LogIndex from = replaced[0].Index;
        foreach (ref readonly Entry entry in replaced)
        {
            from = LogIndex.Min(from, entry.Index);
        }

        LogPosition? appended = null;
        foreach (ref readonly Entry entry in replaced)
        {
            if (WasAcknowledged(entry, out LostWriteDoubts doubts, out ulong atMs) && !_numbers.ContainsKey((entry.Index, entry.Term)))
            {
                appended = Note(LostWrite.Of(_last + 1, entry, doubts, atMs, _clock.WallMs), from);
            }
        }

        _early.Forget(from);
        return appended;
    }

    /// <summary>A snapshot is about to replace the view and to void the log: what it makes uncertain is taken over into the new view.</summary>
    /// <param name="uncommitted">The log above the commit index.</param>
    /// <param name="applied">Up to here this replica knows what was committed.</param>
    internal void BeforeSwitch(ReadOnlySpan<Entry> uncommitted, LogIndex applied)
    {
        _settled = applied;
        OnReplaced(uncommitted);
        _lastUnremembered = Term.Zero;
        _storage.Install(RecordSpace.Journal, StateKey, EncodeState());
        foreach (LostWrite write in _writes.Values)
        {
            _storage.Install(RecordSpace.Journal, KeyOf(write.Number), write.Record);
        }
    }

    /// <summary>The snapshot is in place: whether a write is in it can only be told by its request id, if that is still remembered.</summary>
    internal void AfterSwitch(KvStateMachine stateMachine)
    {
        foreach (LostWrite write in _writes.Values.Where(write => write.Index > _settled).ToArray())
        {
            if (stateMachine.HasApplied(write.Request, write.Index))
            {
                Remove(write);
            }
            else
            {
                Put(write.With(LostWriteDoubts.Loss));
            }
        }
    }

    /// <summary>A committed entry has no effect, because it is of an earlier epoch: if it was acknowledged early, that is a loss (C13).</summary>
    internal void OnRejected(in Entry entry)
    {
        if (WasAcknowledged(entry, out LostWriteDoubts doubts, out ulong atMs) && !_numbers.ContainsKey((entry.Index, entry.Term)))
        {
            Note(LostWrite.Of(_last + 1, entry, doubts, atMs, _clock.WallMs), entry.Index);
        }
    }

    internal void OnApplied(in Entry entry)
    {
        if (_writes.Count > 0 && _numbers.TryGetValue((entry.Index, entry.Term), out ulong number))
        {
            Remove(_writes[number]);
        }
    }

    /// <summary>Takes a record of the view back, after a restart.</summary>
    internal void Restore(ReadOnlySpan<byte> key, ReadOnlySpan<byte> record)
    {
        if (key.SequenceEqual(StateKey))
        {
            Invariant.Assert(record.Length == StateBytes, "the state of the lost writes is whole");
            _last = BinaryPrimitives.ReadUInt64LittleEndian(record);
            Dropped = BinaryPrimitives.ReadUInt64LittleEndian(record[8..]);
            return;
        }

        Keep(LostWrite.Decode(BinaryPrimitives.ReadUInt64BigEndian(key), record));
    }

    /// <summary>Repeats what the log says behind the view, after a restart.</summary>
    /// <param name="recovered">The term that was recovered: who acknowledged what in it or before is not remembered.</param>
    internal void Replay(IReadOnlyList<RecoveredRecord> records, Term recovered)
    {
        _lastUnremembered = recovered;
        ulong cleared = 0;
        foreach (RecoveredRecord record in records)
        {
            if (record.Kind == LogRecordKind.LostWrite && BinaryPrimitives.ReadUInt64LittleEndian(record.Payload.Span) is var number && number > _last)
            {
                Enter(LostWrite.Decode(number, record.Payload.Span[sizeof(ulong)..]));
            }
            else if (record.Kind == LogRecordKind.LostWritesCleared)
            {
                cleared = BinaryPrimitives.ReadUInt64LittleEndian(record.Payload.Span);
            }
        }

        _last = Math.Max(_last, cleared);
        Remove(cleared);
    }

    private bool WasAcknowledged(in Entry entry, out LostWriteDoubts doubts, out ulong atMs)
    {
        doubts = LostWriteDoubts.None;
        atMs = 0;
        if (entry.Kind != EntryKind.Data || RegimeEntry.Is(entry) || WriteCommand.Decode(entry.Payload.Span).EarlyMark != _mark)
        {
            return false;
        }

        if (entry.Term <= _lastUnremembered)
        {
            // Proposed here by a process that has ended since: it may have been acknowledged.
            doubts = LostWriteDoubts.Acknowledgement;
            return true;
        }

        return _early.Contains(entry, out atMs);
    }

    private LogPosition Note(LostWrite write, LogIndex replacedFrom)
    {
        byte[] payload = new byte[sizeof(ulong) + write.Record.Length];
        BinaryPrimitives.WriteUInt64LittleEndian(payload, write.Number);
        write.Record.CopyTo(payload, sizeof(ulong));
        Enter(write);
        Found++;
        return _storage.Append(LogRecordKind.LostWrite, write.Term, replacedFrom, payload, SyncUrgency.Now);
    }

    private void Enter(LostWrite write)
    {
        _last = write.Number;
        if (_numbers.ContainsKey((write.Index, write.Term)))
        {
            return;
        }

        Keep(write);
        while (Bytes > _maxBytes && _writes.Count > 1)
        {
            Remove(_writes.First().Value);
            Dropped++;
        }

        _storage.Put(RecordSpace.Journal, KeyOf(write.Number), write.Record);
        WriteState();
    }

    private void Keep(LostWrite write)
    {
        _writes.Add(write.Number, write);
        _numbers.Add((write.Index, write.Term), write.Number);
        Bytes += write.Record.Length;
    }

    private void Put(LostWrite write)
    {
        _writes[write.Number] = write;
        _storage.Put(RecordSpace.Journal, KeyOf(write.Number), write.Record);
    }

    private int Remove(ulong upTo)
    {
        int before = _writes.Count;
        while (_writes.Count > 0 && _writes.First().Value is { } oldest && oldest.Number <= upTo)
        {
            Remove(oldest);
        }

        return before - _writes.Count;
    }

    private void Remove(LostWrite write)
    {
        _writes.Remove(write.Number);
        _numbers.Remove((write.Index, write.Term));
        Bytes -= write.Record.Length;
        _storage.Remove(RecordSpace.Journal, KeyOf(write.Number));
    }

    private void WriteState() => _storage.Put(RecordSpace.Journal, StateKey, EncodeState());

    private byte[] EncodeState()
    {
        byte[] state = new byte[StateBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(state, _last);
        BinaryPrimitives.WriteUInt64LittleEndian(state.AsSpan(8), Dropped);
        return state;
    }

    private static byte[] KeyOf(ulong number)
    {
        byte[] key = new byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(key, number);
        return key;
    }
}
