using System.Buffers.Binary;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>What applying one write came to: the same on every replica.</summary>
public readonly record struct ApplyResult(Outcome Outcome, RefusalCode Code, LogIndex Version);

/// <summary>
/// The deterministic state machine of an ordered shard: log entries in, keyed records and remembered requests out. Its only time is the timestamp in the entry.
/// A write needs no earlier value unless it has a condition, so the ordered path builds no <see cref="DottedObject"/> and reads nothing from the disk for a plain put.
/// </summary>
public sealed class KvStateMachine
{
    private readonly IReplicaStorage _storage;
    private readonly RegimeState _regimes;
    private readonly DedupTable _dedup = new();

    internal KvStateMachine(IReplicaStorage storage, RegimeState regimes)
    {
        _storage = storage;
        _regimes = regimes;
        Merge = new OverlayMerge(storage, _dedup, Accounted);
    }

    /// <summary>The dots of writes made outside the log that the log accounts for.</summary>
    internal AccountedDots Accounted => _regimes.Accounted;

    /// <summary>Applies what was handed in from overlays.</summary>
    internal OverlayMerge Merge { get; }

    /// <summary>
    /// Applies one entry. False when the record that a condition needs is only on the disk: nothing has changed; load that key and apply the same entry again.
    /// </summary>
    public bool TryApply(in Entry entry, out ApplyResult result)
    {
        WriteCommand command = WriteCommand.Decode(entry.Payload.Span);
        if (MergeCommand.IsMerge(entry.Payload.Span))
        {
            result = new ApplyResult(Outcome.Done, RefusalCode.None, entry.Index);
            return Merge.TryApply(entry, (ulong)new HybridTimestamp(command.Timestamp).PhysicalMs);
        }

        ReadOnlyMemory<byte> record = default;
        bool needsRecord = command.Condition != WriteCondition.None || Accounted.HasGaps;
        if (needsRecord && _storage.Find(RecordSpace.Data, command.Key, out record) == RecordLookup.NotResident)
        {
            result = default;
            return false;
        }

        ulong timestampMs = (ulong)new HybridTimestamp(command.Timestamp).PhysicalMs;
        DedupVerdict verdict = _dedup.Enter(command.Request, command.PayloadHash, timestampMs, out RememberedResult remembered);
        result = verdict switch
        {
            DedupVerdict.New => Execute(command, entry.Index, record),
            DedupVerdict.Repeated => AsResult(remembered),
            DedupVerdict.Expired => new ApplyResult(Outcome.Unknown, RefusalCode.RequestExpired, LogIndex.Zero),
            DedupVerdict.Reused => new ApplyResult(Outcome.NotDone, RefusalCode.RequestReused, LogIndex.Zero),
            _ => new ApplyResult(Outcome.NotDone, RefusalCode.Overloaded, LogIndex.Zero),
        };
        if (verdict == DedupVerdict.New)
        {
            _dedup.Remember(command.Request, new RememberedResult(command.PayloadHash, result.Code, result.Version, Known: true), timestampMs);
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
        Merge.Clear();
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
    /// Zero: the log has no such state of any key, because the version names writes that are not in it yet.
    /// </summary>
    /// <exception cref="MalformedRecordException">The bytes are no version.</exception>
    internal LogIndex ReadExpected(ReadOnlyMemory<byte> version)
    {
        if (TryReadVersion(version.Span, out LogIndex index))
        {
            return index;
        }

        ObjectVersion seen = ObjectVersion.Decode(version);
        foreach (Dot dot in seen.LiveDots)
        {
            if (!dot.Actor.IsLog && !Accounted.Clock.Covers(dot))
            {
                return LogIndex.Zero;
            }
        }

        return new LogIndex(seen.Context[ActorId.Log]);
    }

    /// <summary>The version of such a record, as clients carry it: it serves for conditions, and as the context of a write when the shard is open again.</summary>
    internal ReadOnlyMemory<byte> EncodeVersion(DottedObject stored) =>
        OpenReads.EncodeVersion(stored.Fill(Accounted.Clock.BaseVector).Fill(VersionVector.Of(Dot.OfLog(VersionOf(stored)))));

    /// <summary>The bytes of <see cref="OrderedRecord"/>, in one array of exactly their size.</summary>
    private static byte[] EncodeRecord(LogIndex index, ulong timestamp, ReadOnlySpan<byte> value)
    {
        int indexSize = VarInt.SizeOf(index.Value);
        byte[] record = GC.AllocateUninitializedArray<byte>(1 + indexSize + sizeof(ulong) + value.Length);
        record[0] = OrderedRecord.Tag;
        VarInt.Write(record.AsSpan(1), index.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(1 + indexSize), timestamp);
        value.CopyTo(record.AsSpan(1 + indexSize + sizeof(ulong)));
        return record;
    }

    private static ApplyResult AsResult(in RememberedResult remembered) =>
        new(remembered.Code == RefusalCode.None ? Outcome.Done : Outcome.NotDone, remembered.Code, remembered.Version);

    /// <summary>
    /// The version of a stored record; zero if there is no value. What an open period left behind has as its version the index at which the shard was ordered: nothing has touched it since.
    /// </summary>
    internal LogIndex VersionOf(ReadOnlyMemory<byte> record)
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
        return stored.IsEmpty ? LogIndex.Zero : VersionOf(stored);
    }

    /// <summary>
    /// A function of the live dots and of what the log has done since the order, never of how a record came to be stored: a replica that copied what the log had written holds it as an object.
    /// </summary>
    internal LogIndex VersionOf(DottedObject stored) => stored.SiblingCount == 1 && stored.Values[0].Dot is { Actor.IsLog: true } dot
        ? new LogIndex(dot.Counter)
        : LogIndex.Max(new LogIndex(stored.Context[ActorId.Log]), _regimes.Current.Since);

    private ApplyResult Execute(in WriteCommand command, LogIndex index, ReadOnlyMemory<byte> record)
    {
        LogIndex current = VersionOf(record);
        bool holds = command.Condition switch
        {
            WriteCondition.None => true,
            WriteCondition.IfAbsent => current == LogIndex.Zero,
            WriteCondition.IfVersion => current == command.Expected,
            _ => false,
        };
        if (!holds)
        {
            return new ApplyResult(Outcome.NotDone, RefusalCode.ConditionFailed, current);
        }

        if (Accounted.HasGaps)
        {
            WriteInContext(command, index, record);
        }
        else if (command.Kind == OperationKind.Put)
        {
            _storage.Put(RecordSpace.Data, command.Key, EncodeRecord(index, command.Timestamp, command.Value));
        }
        else
        {
            _storage.Remove(RecordSpace.Data, command.Key);
        }

        return new ApplyResult(Outcome.Done, RefusalCode.None, index);
    }

    /// <summary>
    /// While dots are missing below some that are accounted for, what a write supersedes above them is not implied by the base: it stays in the record's context, or a late copy would bring it back.
    /// </summary>
    private void WriteInContext(in WriteCommand command, LogIndex index, ReadOnlyMemory<byte> record)
    {
        VersionVector implied = Accounted.Clock.BaseVector.Join(VersionVector.Of(Dot.OfLog(index)));
        DottedObject before = record.IsEmpty ? DottedObject.Empty : DottedObject.Decode(record);
        VersionVector kept = before.Context.Without(implied);
        if (kept.IsEmpty && command.Kind == OperationKind.Put)
        {
            _storage.Put(RecordSpace.Data, command.Key, EncodeRecord(index, command.Timestamp, command.Value));
        }
        else if (kept.IsEmpty)
        {
            _storage.Remove(RecordSpace.Data, command.Key);
        }
        else
        {
            ReadOnlyMemory<byte>? value = command.Kind == OperationKind.Put ? new ReadOnlyMemory<byte>?(command.Value.ToArray()) : null;
            var output = new System.Buffers.ArrayBufferWriter<byte>(128);
            DottedObject.Gone(kept).Write(Dot.OfLog(index), value, new HybridTimestamp(command.Timestamp)).Encode(output);
            _storage.Put(RecordSpace.Data, command.Key, output.WrittenMemory);
        }
    }
}
