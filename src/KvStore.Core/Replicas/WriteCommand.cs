using System.Buffers.Binary;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Overlays;

namespace KvStore.Core.Replicas;

/// <summary>
/// A write as it stands in a log entry. Encoded once by the leader; the state machine of every replica reads it in place. Fixed offsets, little-endian:
/// <code>
///  0 kind        (1 put, 2 delete; 6 and 7 are a MergeCommand's; never 0x80 or above, which mark configuration entries)
///  1 condition   (WriteCondition)
///  2 early mark  of the leader, where it may acknowledge the write before its commit; else zero
///  4 timestamp   hybrid timestamp of the leader: the only time the state machine knows
/// 12 session, 20 sequence, 28 acknowledged floor of the request id (zero: none)
/// 36 epoch       that the leader served the write in
/// 44 expected    log index for if-version
/// 52 key length  two bytes, then the key, then the value up to the end
/// </code>
/// </summary>
public readonly ref struct WriteCommand
{
    public const int HeaderLength = 54;

    private readonly ReadOnlySpan<byte> _bytes;

    private WriteCommand(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    public OperationKind Kind => _bytes[0] == 1 ? OperationKind.Put : OperationKind.Delete;

    public WriteCondition Condition => (WriteCondition)_bytes[1];

    /// <summary>Who may have acknowledged the write before its commit: see <see cref="EarlyMarkOf"/>. Zero: nobody.</summary>
    public ushort EarlyMark => BinaryPrimitives.ReadUInt16LittleEndian(_bytes[2..]);

    public ulong Timestamp => BinaryPrimitives.ReadUInt64LittleEndian(_bytes[4..]);

    public RequestId Request => new(
        BinaryPrimitives.ReadUInt64LittleEndian(_bytes[12..]),
        BinaryPrimitives.ReadUInt64LittleEndian(_bytes[20..]),
        BinaryPrimitives.ReadUInt64LittleEndian(_bytes[28..]));

    public Epoch Epoch => new(BinaryPrimitives.ReadUInt64LittleEndian(_bytes[36..]));

    /// <summary>The epoch of an encoded command, or of another entry with the same header.</summary>
    public static Epoch EpochOf(ReadOnlySpan<byte> payload) => new(BinaryPrimitives.ReadUInt64LittleEndian(payload[36..]));

    public LogIndex Expected => new(BinaryPrimitives.ReadUInt64LittleEndian(_bytes[44..]));

    public ReadOnlySpan<byte> Key => _bytes.Slice(HeaderLength, KeyLength);

    public ReadOnlySpan<byte> Value => _bytes[(HeaderLength + KeyLength)..];

    /// <summary>Tells a retry of a request from another request under the same id: over kind, condition, expected version, key and value.</summary>
    public uint PayloadHash => (uint)KeyHash.Of(_bytes[HeaderLength..]) ^ ((uint)_bytes[0] << 8) ^ _bytes[1] ^ ((uint)Expected.Value << 16) ^ (uint)KeyLength;

    private int KeyLength => BinaryPrimitives.ReadUInt16LittleEndian(_bytes[52..]);

    public static int SizeOf(int keyLength, int valueLength) => HeaderLength + keyLength + valueLength;

    /// <summary>Writes a command into <paramref name="target"/>, which has exactly <see cref="SizeOf"/> bytes.</summary>
    public static void Encode(Span<byte> target, in ClientOperation operation, LogIndex expected, ulong timestamp, Epoch epoch)
    {
        ReadOnlySpan<byte> key = operation.Key.Span;
        target[..4].Clear();
        target[0] = operation.Kind == OperationKind.Put ? (byte)1 : (byte)2;
        target[1] = (byte)operation.Condition;
        BinaryPrimitives.WriteUInt64LittleEndian(target[4..], timestamp);
        BinaryPrimitives.WriteUInt64LittleEndian(target[12..], operation.Request.Session);
        BinaryPrimitives.WriteUInt64LittleEndian(target[20..], operation.Request.Sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(target[28..], operation.Request.AcknowledgedFloor);
        BinaryPrimitives.WriteUInt64LittleEndian(target[36..], epoch.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(target[44..], expected.Value);
        BinaryPrimitives.WriteUInt16LittleEndian(target[52..], checked((ushort)key.Length));
        key.CopyTo(target[HeaderLength..]);
        operation.Value.Span.CopyTo(target[(HeaderLength + key.Length)..]);
    }

    /// <summary>
    /// Two bytes that tell a replica's own proposals from those of others in its log, after a restart too. Replicas of a shard have neighbouring ids, so no two of them share a mark; if two ever
    /// did, a write would be reported by both.
    /// </summary>
    public static ushort EarlyMarkOf(ReplicaId replica) => (ushort)((replica.Value % ushort.MaxValue) + 1);

    /// <summary>Marks an encoded command that is proposed next.</summary>
    public static void MarkEarly(Span<byte> encoded, ushort mark) => BinaryPrimitives.WriteUInt16LittleEndian(encoded[2..], mark);

    /// <summary>Reads a command. A payload that is none stops the replica: the log is covered by checksums, so this is a bug or another version's entry.</summary>
    public static WriteCommand Decode(ReadOnlySpan<byte> payload)
    {
        Invariant.Assert(payload.Length >= HeaderLength, "a write command has its whole header");
        Invariant.Assert(payload[0] is 1 or 2 || MergeCommand.IsMerge(payload), "a write command is a put or a delete, or a merge, which shares its header");
        var command = new WriteCommand(payload);
        Invariant.Assert(payload.Length >= HeaderLength + command.KeyLength, "a write command holds its whole key");
        return command;
    }
}
