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
    private readonly DedupTable _dedup = new();

    public KvStateMachine(IReplicaStorage storage)
    {
        _storage = storage;
        Merge = new OverlayMerge(storage, _dedup, Accounted);
    }

    /// <summary>The dots of writes made outside the log that the log accounts for.</summary>
    internal AccountedDots Accounted { get; } = new();

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

        LogIndex current = LogIndex.Zero;
        if (command.Condition != WriteCondition.None && !TryCurrentVersion(command.Key, out current))
        {
            result = default;
            return false;
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
    }

    /// <summary>The version as clients carry it: a tag and the log index.</summary>
    public static byte[] EncodeVersion(LogIndex index)
    {
        byte[] version = new byte[OrderedVersionLength];
        WriteVersion(version, index);
        return version;
    }

    /// <summary>
    /// The version of a stored record: the index of the entry that changed the key last. A merge leaves an object that may hold several values; every merge that changes them leaves its index in the context,
    /// so the version still names exactly the live values.
    /// </summary>
    public static LogIndex VersionOf(ReadOnlyMemory<byte> record) =>
        OrderedRecord.IsOrdered(record.Span) ? OrderedRecord.Decode(record).Index : new LogIndex(DottedObject.Decode(record).Context[ActorId.Log]);

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

    private bool TryCurrentVersion(ReadOnlySpan<byte> key, out LogIndex version)
    {
        version = LogIndex.Zero;
        switch (_storage.Find(RecordSpace.Data, key, out ReadOnlyMemory<byte> record))
        {
            case RecordLookup.Found:
                version = VersionOf(record);
                return true;
            case RecordLookup.Absent:
                return true;
            default:
                return false;
        }
    }

    private ApplyResult Execute(in WriteCommand command, LogIndex index, LogIndex current)
    {
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

        if (command.Kind == OperationKind.Put)
        {
            _storage.Put(RecordSpace.Data, command.Key, EncodeRecord(index, command.Timestamp, command.Value));
        }
        else
        {
            _storage.Remove(RecordSpace.Data, command.Key);
        }

        return new ApplyResult(Outcome.Done, RefusalCode.None, index);
    }
}
