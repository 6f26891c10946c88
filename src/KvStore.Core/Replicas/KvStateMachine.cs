using System.Buffers;
using System.Buffers.Binary;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>What applying one write came to: the same on every replica.</summary>
/// <param name="Outcome">Done, not done, or (for a request that is too old to tell) unknown.</param>
/// <param name="Code">Why not.</param>
/// <param name="Version">The key's version afterwards.</param>
/// <param name="Counter">Of an increment: the counter afterwards.</param>
public readonly record struct ApplyResult(Outcome Outcome, RefusalCode Code, LogIndex Version, long Counter = 0);

/// <summary>
/// The deterministic state machine of an ordered shard: log entries in, keyed records and remembered requests out. Its only time is the timestamp in the entry.
/// A write needs no earlier value unless it has a condition or counts, so the ordered path builds no <see cref="DottedObject"/> and reads nothing from the disk for a plain put.
/// </summary>
public sealed class KvStateMachine
{
    private readonly IReplicaStorage _storage;
    private readonly RegimeState _regimes;
    private readonly ExpiryIndex _expiries;
    private readonly DedupTable _dedup = new();

    internal KvStateMachine(IReplicaStorage storage, RegimeState regimes, ExpiryIndex expiries)
    {
        _storage = storage;
        _regimes = regimes;
        _expiries = expiries;
        Merge = new OverlayMerge(storage, _dedup, Accounted);
    }

    /// <summary>The dots of writes made outside the log that the log accounts for.</summary>
    internal AccountedDots Accounted => _regimes.Accounted;

    /// <summary>Applies what was handed in from overlays.</summary>
    internal OverlayMerge Merge { get; }

    /// <summary>
    /// Applies one entry. False when the record that it needs is only on the disk: nothing has changed; load that key and apply the same entry again.
    /// </summary>
    public bool TryApply(in Entry entry, out ApplyResult result)
    {
        WriteCommand command = WriteCommand.Decode(entry.Payload.Span);
        if (MergeCommand.IsMerge(entry.Payload.Span))
        {
            result = new ApplyResult(Outcome.Done, RefusalCode.None, entry.Index);
            return Merge.TryApply(entry, (ulong)new HybridTimestamp(command.Timestamp).PhysicalMs);
        }

        ReadOnlyMemory<byte> current = default;
        bool reads = command.Condition != WriteCondition.None || command.Kind == OperationKind.Increment || command.IsExpiry || Accounted.HasGaps;
        if (reads && _storage.Find(RecordSpace.Data, command.Key, out current) == RecordLookup.NotResident)
        {
            result = default;
            return false;
        }

        if (command.IsExpiry)
        {
            Expire(command, entry.Index, current);
            result = new ApplyResult(Outcome.Done, RefusalCode.None, entry.Index);
            return true;
        }

        ulong timestampMs = (ulong)new HybridTimestamp(command.Timestamp).PhysicalMs;
        DedupVerdict verdict = _dedup.Enter(command.Request, command.PayloadHash, timestampMs, out RememberedResult remembered);
        result = verdict switch
        {
            DedupVerdict.New => Execute(command, entry.Index, current),
            DedupVerdict.Repeated => AsResult(remembered),
            DedupVerdict.Expired => new ApplyResult(Outcome.Unknown, RefusalCode.RequestExpired, LogIndex.Zero),
            DedupVerdict.Reused => new ApplyResult(Outcome.NotDone, RefusalCode.RequestReused, LogIndex.Zero),
            _ => new ApplyResult(Outcome.NotDone, RefusalCode.Overloaded, LogIndex.Zero),
        };
        if (verdict == DedupVerdict.New)
        {
            _dedup.Remember(command.Request, new RememberedResult(command.PayloadHash, result.Code, result.Version, Known: true, result.Counter), timestampMs);
        }

        return true;
    }

    /// <summary>The key that <see cref="TryApply"/> has just missed.</summary>
    public ReadOnlyMemory<byte> MissingKeyOf(in Entry entry) =>
        MergeCommand.IsMerge(entry.Payload.Span) ? Merge.Missing.Bytes : WriteCommand.Decode(entry.Payload.Span).Key.ToArray();

    /// <summary>For the leader, before it proposes: the answer to a request that is already applied.</summary>
    public bool TryAnswerRepeated(in RequestId request, uint payloadHash, out ApplyResult result)
    {
        switch (_dedup.Peek(request, payloadHash, out RememberedResult remembered))
        {
            case DedupVerdict.Repeated:
                result = AsResult(remembered);
                return true;
            case DedupVerdict.Expired:
                result = new ApplyResult(Outcome.Unknown, RefusalCode.RequestExpired, LogIndex.Zero);
                return true;
            case DedupVerdict.Reused:
                result = new ApplyResult(Outcome.NotDone, RefusalCode.RequestReused, LogIndex.Zero);
                return true;
            default:
                result = default;
                return false;
        }
    }

    /// <summary>For the leader, before it acknowledges early: whether the request is sure to find room in the dedup table when its entry is applied.</summary>
    public bool HasRoomFor(in RequestId request) => _dedup.HasRoomFor(request);

    /// <summary>Whether a request is remembered to have been applied at an index.</summary>
    public bool HasApplied(in RequestId request, LogIndex index) => _dedup.Remembers(request, index);

    /// <summary>A check over all remembered requests, to compare replicas.</summary>
    internal UInt128 SumOfRequests() => _dedup.Sum();

    /// <summary>All remembered requests, for a replica that skips the part of the log in which they stand.</summary>
    internal List<ScannedRecord> DescribeRequests() => _dedup.Describe();

    /// <summary>Takes the requests that another replica remembers in place of its own.</summary>
    internal void ReplaceRequests(IReadOnlyList<ScannedRecord> records) => _dedup.Replace(records);

    /// <summary>Puts the dedup records and accounted dots that changed into the view. Called before every seal, so that they are durable with the data.</summary>
    public void WriteChangedSessions()
    {
        _dedup.WriteTo(_storage);
        Accounted.WriteTo(_storage);
    }

    public void Clear()
    {
        _dedup.Clear();
        Accounted.Clear();
    }

    /// <summary>Takes a Meta record of the view back, if it is this state machine's.</summary>
    public void Restore(ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        if (key.StartsWith(DedupTable.KeyPrefix))
        {
            _dedup.Restore(key, record.Span);
        }
        else if (key.SequenceEqual(AccountedDots.MetaKey))
        {
            Accounted.Restore(record);
        }

        _expiries.Restore(key);
    }

    /// <summary>The version as clients carry it: a tag and the log index.</summary>
    public static byte[] EncodeVersion(LogIndex index)
    {
        byte[] version = new byte[OrderedVersionLength];
        WriteVersion(version, index);
        return version;
    }

    public const int OrderedVersionLength = 9;

    /// <summary>First byte of an ordered key's version; versions of open shards begin with <see cref="ObjectVersion.Format"/>.</summary>
    private const byte OrderedVersionTag = 0x11;

    public static void WriteVersion(Span<byte> target, LogIndex index)
    {
        target[0] = OrderedVersionTag;
        BinaryPrimitives.WriteUInt64BigEndian(target[1..], index.Value);
    }

    public static bool TryReadVersion(ReadOnlySpan<byte> version, out LogIndex index)
    {
        bool ok = version.Length == OrderedVersionLength && version[0] == OrderedVersionTag;
        index = ok ? new LogIndex(BinaryPrimitives.ReadUInt64BigEndian(version[1..])) : LogIndex.Zero;
        return ok && index > LogIndex.Zero;
    }

    /// <summary>
    /// The version that a condition names, in either form: that of an ordered record is an index; that of a record which an open period or a merge left behind says in its context which version it was.
    /// It depends on the bytes alone: a request that is sent again must be known again, wherever and whenever that is.
    /// </summary>
    /// <exception cref="MalformedRecordException">The bytes are no version.</exception>
    internal static LogIndex ReadExpected(ReadOnlyMemory<byte> version)
    {
        if (TryReadVersion(version.Span, out LogIndex index))
        {
            return index;
        }

        return new LogIndex(ObjectVersion.Decode(version).Context[ActorId.Log]);
    }

    /// <summary>Whether the log has all that a version names. False: it has no such state of any key, because the version names writes that are not in it yet.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no version.</exception>
    internal bool HasAccountedFor(ReadOnlyMemory<byte> version)
    {
        if (TryReadVersion(version.Span, out _))
        {
            return true;
        }

        foreach (Dot dot in ObjectVersion.Decode(version).LiveDots)
        {
            if (!dot.Actor.IsLog && !Accounted.Clock.Covers(dot))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The version of such a record, as clients carry it: it serves for conditions, and as the context of a write when the shard is open again.</summary>
    internal ReadOnlyMemory<byte> EncodeVersion(DottedObject stored) =>
        OpenReads.EncodeVersion(stored.Fill(Accounted.Clock.BaseVector).Fill(VersionVector.Of(Dot.OfLog(VersionOf(stored)))));

    private static ApplyResult AsResult(in RememberedResult remembered) =>
        new(remembered.Code == RefusalCode.None ? Outcome.Done : Outcome.NotDone, remembered.Code, remembered.Version, remembered.Counter);

    /// <summary>
    /// The version of a stored record; zero if there is no value. What an open period left behind has as its version the index at which the shard was ordered: nothing has touched it since.
    /// </summary>
    internal LogIndex VersionOf(ReadOnlyMemory<byte> record) => VersionOf(record, _regimes.Current.Since);

    internal LogIndex VersionOf(DottedObject stored) => VersionOf(stored, _regimes.Current.Since);

    /// <param name="record">As stored; empty: there is none.</param>
    /// <param name="since">The index at which the shard was ordered last; zero: it always was.</param>
    public static LogIndex VersionOf(ReadOnlyMemory<byte> record, LogIndex since)
    {
        if (record.IsEmpty)
        {
            return LogIndex.Zero;
        }

        if (OrderedRecord.IsOrdered(record.Span))
        {
            return OrderedRecord.Decode(record).Index;
        }

        DottedObject stored = DottedObject.Decode(record);
        return stored.IsEmpty ? LogIndex.Zero : VersionOf(stored, since);
    }

    /// <summary>
    /// A function of the live dots and of what the log has done since the order, never of how a record came to be stored: a replica that copied what the log had written holds it as an object.
    /// </summary>
    private static LogIndex VersionOf(DottedObject stored, LogIndex since) => stored.Values is [{ Dot: { Actor.IsLog: true } dot }]
        ? new LogIndex(dot.Counter)
        : LogIndex.Max(new LogIndex(stored.Context[ActorId.Log]), since);

    private ApplyResult Execute(in WriteCommand command, LogIndex index, ReadOnlyMemory<byte> current)
    {
        LogIndex version = VersionOf(current);
        bool holds = command.Condition switch
        {
            WriteCondition.None => true,
            WriteCondition.IfAbsent => version == LogIndex.Zero,
            WriteCondition.IfVersion => version == command.Expected,
            _ => false,
        };
        if (!holds)
        {
            return new ApplyResult(Outcome.NotDone, RefusalCode.ConditionFailed, version);
        }

        if (Accounted.HasGaps && command.Kind != OperationKind.Increment)
        {
            WriteInContext(command, index, current);
            NoteExpiry(command);
            return new ApplyResult(Outcome.Done, RefusalCode.None, index);
        }

        switch (command.Kind)
        {
            case OperationKind.Put:
                _storage.Put(RecordSpace.Data, command.Key, OrderedRecord.Encode(index, command.Timestamp, command.Value, ValueForm.Bytes, command.ExpiresMs));
                NoteExpiry(command);
                break;
            case OperationKind.Increment:
                return Increment(command, index, current);
            default:
                _storage.Remove(RecordSpace.Data, command.Key);
                _expiries.Remove(command.Key);
                break;
        }

        return new ApplyResult(Outcome.Done, RefusalCode.None, index);
    }

    private ApplyResult Increment(in WriteCommand command, LogIndex index, ReadOnlyMemory<byte> current)
    {
        if (current.IsEmpty)
        {
            NoteExpiry(command);
            return PutCounter(command, index, command.Delta, command.ExpiresMs);
        }

        if (!OrderedRecord.IsOrdered(current.Span))
        {
            return IncrementDotted(command, index, DottedObject.Decode(current));
        }

        OrderedRecord held = OrderedRecord.Decode(current);
        if (held.Form != ValueForm.Counter)
        {
            return new ApplyResult(Outcome.NotDone, RefusalCode.WrongType, held.Index);
        }

        Int128 sum = (Int128)CounterTotal.Decode(held.Value).Total + command.Delta;
        return sum > long.MaxValue || sum < long.MinValue
            ? new ApplyResult(Outcome.NotDone, RefusalCode.InvalidArgument, held.Index)
            : PutCounter(command, index, (long)sum, held.ExpiresMs);
    }

    private ApplyResult PutCounter(in WriteCommand command, LogIndex index, long total, ulong expiresMs)
    {
        _storage.Put(RecordSpace.Data, command.Key, OrderedRecord.Encode(index, command.Timestamp, CounterTotal.Encode(total), ValueForm.Counter, expiresMs));
        return new ApplyResult(Outcome.Done, RefusalCode.None, index, total);
    }

    /// <summary>The key holds totals of replicas, from a time in which they took increments themselves: they keep their dots, and the log has a total of its own beside them (C12).</summary>
    private ApplyResult IncrementDotted(in WriteCommand command, LogIndex index, DottedObject held)
    {
        Incremented counted = DottedCounter.Increment(
            held, Dot.OfLog(index), default, _ => false, command.Delta, command.Request,
            new HybridTimestamp(command.Timestamp), command.ExpiresMs);
        switch (counted.Status)
        {
            case IncrementStatus.WrongType:
                return new ApplyResult(Outcome.NotDone, RefusalCode.WrongType, LogIndex.Zero);
            case IncrementStatus.Overflow:
                return new ApplyResult(Outcome.NotDone, RefusalCode.InvalidArgument, LogIndex.Zero);
            case IncrementStatus.Repeated:
                return new ApplyResult(Outcome.Done, RefusalCode.None, index, counted.Sum);
            default:
                PutDotted(command.Key, counted.Object);
                if (held.IsEmpty)
                {
                    NoteExpiry(command);
                }

                return new ApplyResult(Outcome.Done, RefusalCode.None, index, counted.Sum);
        }
    }

    /// <summary>Removes exactly what the entry names, if it is still there and its time is over by the entry's own clock: a refresh has another index, and stays (C22).</summary>
    private void Expire(in WriteCommand command, LogIndex index, ReadOnlyMemory<byte> current)
    {
        ulong nowMs = (ulong)new HybridTimestamp(command.Timestamp).PhysicalMs;
        if (current.IsEmpty)
        {
            _expiries.Remove(command.Key);
        }
        else if (OrderedRecord.IsOrdered(current.Span))
        {
            OrderedRecord held = OrderedRecord.Decode(current);
            if (held.Index == command.Expected && held.ExpiresMs != 0 && held.ExpiresMs <= nowMs)
            {
                _storage.Remove(RecordSpace.Data, command.Key);
                _expiries.Remove(command.Key);
            }
        }
        else
        {
            ExpireDotted(command, index, DottedObject.Decode(current), nowMs);
        }
    }

    private void ExpireDotted(in WriteCommand command, LogIndex index, DottedObject held, ulong nowMs)
    {
        HashSet<Dot> named = [];
        BinaryCursor input = new(command.Value.ToArray());
        while (input.Remaining > 0)
        {
            named.Add(input.ReadDot());
        }

        DottedObject alive = held.AliveAt(nowMs);
        foreach (ref readonly DottedValue value in held.Values)
        {
            if (!alive.Holds(value.Dot) && !named.Contains(value.Dot))
            {
                return;
            }
        }

        if (ReferenceEquals(alive, held))
        {
            return;
        }

        if (alive.IsEmpty)
        {
            PutGone(command.Key, index, alive.Context.Without(ImpliedAt(index)));
            _expiries.Remove(command.Key);
        }
        else
        {
            PutDotted(command.Key, alive.Write(Dot.OfLog(index), null, default));
        }
    }

    /// <summary>A merge has changed what a key holds.</summary>
    internal void NoteMerged(Key key)
    {
        if (_storage.Find(RecordSpace.Data, key.Span, out ReadOnlyMemory<byte> record) == RecordLookup.Found && DottedObject.Decode(record) is { NextExpiryMs: > 0 } held)
        {
            _expiries.MarkUse(_storage);
            _expiries.NoteFound(key.Span, held.NextExpiryMs, ExpiryScan.TtlOf(held, held.NextExpiryMs));
        }
        else
        {
            _expiries.Remove(key.Span);
        }
    }

    private void PutDotted(ReadOnlySpan<byte> key, DottedObject written)
    {
        var record = new ArrayBufferWriter<byte>(64);
        written.Encode(record);
        _storage.Put(RecordSpace.Data, key, record.WrittenMemory);
    }

    private void NoteExpiry(in WriteCommand command)
    {
        if (command.TtlMs is > 0 and var ttl)
        {
            _expiries.MarkUse(_storage);
            _expiries.NoteWritten(command.Key, command.ExpiresMs, ttl);
        }
        else
        {
            _expiries.Remove(command.Key);
        }
    }

    /// <summary>
    /// While dots are missing below some that are accounted for, or that contexts name, what a write supersedes above them is not implied by the base: it stays in the record's context, or a late copy would
    /// bring it back.
    /// </summary>
    private void WriteInContext(in WriteCommand command, LogIndex index, ReadOnlyMemory<byte> record)
    {
        DottedObject before = record.IsEmpty ? DottedObject.Empty : DottedObject.Decode(record);
        VersionVector kept = before.Context.Without(ImpliedAt(index));
        if (command.Kind != OperationKind.Put)
        {
            PutGone(command.Key, index, kept);
        }
        else if (kept.IsEmpty)
        {
            _storage.Put(RecordSpace.Data, command.Key, OrderedRecord.Encode(index, command.Timestamp, command.Value, ValueForm.Bytes, command.ExpiresMs));
        }
        else
        {
            var value = new DottedValue(Dot.OfLog(index), new HybridTimestamp(command.Timestamp), command.Value.ToArray()) { ExpiresMs = command.ExpiresMs };
            PutDotted(command.Key, DottedObject.Gone(kept).Write(value));
        }
    }

    /// <summary>What no context need name behind an index.</summary>
    private VersionVector ImpliedAt(LogIndex index) => Accounted.Clock.BaseVector.Join(VersionVector.Of(Dot.OfLog(index)));

    /// <summary>The key has no value any more. What it has superseded and not everything implies is all that stays.</summary>
    private void PutGone(ReadOnlySpan<byte> key, LogIndex index, VersionVector kept)
    {
        if (kept.IsEmpty)
        {
            _storage.Remove(RecordSpace.Data, key);
        }
        else
        {
            PutDotted(key, DottedObject.Gone(kept).Write(Dot.OfLog(index), null, default));
        }
    }
}
