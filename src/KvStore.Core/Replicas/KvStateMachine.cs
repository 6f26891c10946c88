using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Replicas.Transactions;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>What applying one write came to: the same on every replica.</summary>
/// <param name="Outcome">Done, not done, or (for a request that is too old to tell) unknown.</param>
/// <param name="Code">Why not.</param>
/// <param name="Version">The key's version afterwards.</param>
/// <param name="Counter">Of an increment: the counter afterwards.</param>
public readonly record struct ApplyResult(Outcome Outcome, RefusalCode Code, LogIndex Version, long Counter = 0)
{
    /// <summary>Of a transaction that was done: what it came to.</summary>
    public TransactionAnswer? Transaction { get; init; }
}

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
    private readonly Watching.ChangeFeed? _feed;
    private readonly RecordWriter _writer;
    private readonly TransactionRunner _transactions;

    /// <param name="storage">Log and view.</param>
    /// <param name="regimes">What is in force.</param>
    /// <param name="expiries">What may expire.</param>
    /// <param name="feed">Told of every change of a key; null where nobody watches.</param>
    internal KvStateMachine(IReplicaStorage storage, RegimeState regimes, ExpiryIndex expiries, Watching.ChangeFeed? feed = null)
    {
        _feed = feed;
        storage = feed is null ? storage : new Watching.RecordedStorage(storage, feed);
        _storage = storage;
        _regimes = regimes;
        _expiries = expiries;
        Versions = new RecordVersions(regimes);
        _writer = new RecordWriter(storage, regimes, expiries);
        _transactions = new TransactionRunner(storage, Versions, _writer);
        Merge = new OverlayMerge(storage, _dedup, Accounted);
    }

    /// <summary>Which version a stored record is of its key.</summary>
    internal RecordVersions Versions { get; }

    /// <summary>The dots of writes made outside the log that the log accounts for.</summary>
    internal AccountedDots Accounted => _regimes.Accounted;

    /// <summary>Applies what was handed in from overlays.</summary>
    internal OverlayMerge Merge { get; }

    /// <summary>
    /// Applies one entry. False when the record that it needs is only on the disk: nothing has changed; load that key and apply the same entry again.
    /// </summary>
    public bool TryApply(in Entry entry, out ApplyResult result)
    {
        if (_feed is not { } feed)
        {
            return TryApplyUnwatched(entry, out result);
        }

        feed.BeginEntry(entry);
        bool applied = TryApplyUnwatched(entry, out result);
        feed.EndEntry();
        return applied;
    }

    private bool TryApplyUnwatched(in Entry entry, out ApplyResult result)
    {
        WriteCommand command = WriteCommand.Decode(entry.Payload.Span);
        if (MergeCommand.IsMerge(entry.Payload.Span))
        {
            result = new ApplyResult(Outcome.Done, RefusalCode.None, entry.Index);
            return Merge.TryApply(entry, (ulong)new HybridTimestamp(command.Timestamp).PhysicalMs);
        }

        TransactionPlan? plan = null;
        if (command.Kind == OperationKind.Transaction && !_transactions.TryPlan(entry, entry.Payload[^command.Value.Length..], command.Timestamp, command.TtlMs, out plan))
        {
            result = default;
            return false;
        }

        ReadOnlyMemory<byte> current = default;
        bool reads = command.Condition != WriteCondition.None || command.Kind == OperationKind.Increment || command.IsExpiry || Accounted.HasGaps;
        if (reads && plan is null && _storage.Find(RecordSpace.Data, command.Key, out current) == RecordLookup.NotResident)
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
        DedupVerdict verdict = _dedup.Enter(command.Request, command.PayloadHash, timestampMs, out RememberedResult earlier);
        result = verdict switch
        {
            DedupVerdict.New when plan is not null => _transactions.CarryOut(plan),
            DedupVerdict.New => Execute(command, entry.Index, current),
            DedupVerdict.Repeated => AsResult(earlier),
            DedupVerdict.Expired => new ApplyResult(Outcome.Unknown, RefusalCode.RequestExpired, LogIndex.Zero),
            DedupVerdict.Reused => new ApplyResult(Outcome.NotDone, RefusalCode.RequestReused, LogIndex.Zero),
            _ => new ApplyResult(Outcome.NotDone, RefusalCode.Overloaded, LogIndex.Zero),
        };
        if (verdict == DedupVerdict.New)
        {
            var remembered = new RememberedResult(command.PayloadHash, result.Code, result.Version, Known: true, result.Counter);
            _dedup.Remember(command.Request, remembered with { Answer = command.Request.IsNone ? null : result.Transaction?.Encode() }, timestampMs);
        }

        return true;
    }

    /// <summary>The key that <see cref="TryApply"/> has just missed.</summary>
    public ReadOnlyMemory<byte> MissingKeyOf(in Entry entry)
    {
        if (MergeCommand.IsMerge(entry.Payload.Span))
        {
            return Merge.Missing.Bytes;
        }

        WriteCommand command = WriteCommand.Decode(entry.Payload.Span);
        return command.Kind == OperationKind.Transaction ? _transactions.Missing.Bytes : command.Key.ToArray();
    }

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
        _transactions.Clear();
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

    /// <inheritdoc cref="RecordVersions.Encode(LogIndex)"/>
    public static byte[] EncodeVersion(LogIndex index) => RecordVersions.Encode(index);

    public const int OrderedVersionLength = RecordVersions.OrderedLength;

    public static void WriteVersion(Span<byte> target, LogIndex index) => RecordVersions.Write(target, index);

    public static bool TryReadVersion(ReadOnlySpan<byte> version, out LogIndex index) => RecordVersions.TryRead(version, out index);

    /// <inheritdoc cref="RecordVersions.ReadExpected"/>
    internal static LogIndex ReadExpected(ReadOnlyMemory<byte> version) => RecordVersions.ReadExpected(version);

    /// <inheritdoc cref="RecordVersions.HasAccountedFor"/>
    internal bool HasAccountedFor(ReadOnlyMemory<byte> version) => Versions.HasAccountedFor(version);

    /// <inheritdoc cref="RecordVersions.Encode(DottedObject)"/>
    internal ReadOnlyMemory<byte> EncodeVersion(DottedObject stored) => Versions.Encode(stored);

    /// <inheritdoc cref="RecordVersions.VersionOf(ReadOnlyMemory{byte})"/>
    internal LogIndex VersionOf(ReadOnlyMemory<byte> record) => Versions.VersionOf(record);

    /// <inheritdoc cref="RecordVersions.VersionOf(ReadOnlyMemory{byte}, LogIndex)"/>
    public static LogIndex VersionOf(ReadOnlyMemory<byte> record, LogIndex since) => RecordVersions.VersionOf(record, since);

    private static ApplyResult AsResult(in RememberedResult remembered)
    {
        Outcome outcome = remembered.Code switch
        {
            RefusalCode.None => Outcome.Done,
            RefusalCode.RequestExpired => Outcome.Unknown,
            _ => Outcome.NotDone,
        };
        return new ApplyResult(outcome, remembered.Code, remembered.Version, remembered.Counter) { Transaction = remembered.Answer is { } answer ? TransactionAnswer.Decode(answer) : null };
    }

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

        var stamp = new EntryStamp(index, command.Timestamp);
        switch (command.Kind)
        {
            case OperationKind.Put:
                _writer.Put(command.Key, command.Value, stamp, command.TtlMs, current);
                break;
            case OperationKind.Increment:
                return Increment(command, index, current);
            default:
                _writer.Delete(command.Key, stamp, current);
                break;
        }

        return new ApplyResult(Outcome.Done, RefusalCode.None, index);
    }

    private ApplyResult Increment(in WriteCommand command, LogIndex index, ReadOnlyMemory<byte> current)
    {
        if (current.IsEmpty)
        {
            _writer.NoteExpiry(command.Key, command.ExpiresMs, command.TtlMs);
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
                _writer.PutDotted(command.Key, counted.Object);
                if (held.IsEmpty)
                {
                    _writer.NoteExpiry(command.Key, command.ExpiresMs, command.TtlMs);
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
            _writer.PutGone(command.Key, index, alive.Context);
            _expiries.Remove(command.Key);
        }
        else
        {
            _writer.PutDotted(command.Key, alive.Write(Dot.OfLog(index), null, default));
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
}
