using System.Buffers.Binary;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Overlays;

namespace KvStore.Core.Replicas;

/// <summary>
/// A write as it stands in a log entry. Encoded once by the leader; the state machine of every replica reads it in place. Fixed offsets, little-endian:
/// <code>
///  0 kind        (1 put, 2 delete, 3 increment, 4 expire, 8 transaction; 5 is a RegimeEntry's, 6 and 7 are a MergeCommand's; never 0x80 or above, which mark configuration entries)
///  1 condition   (WriteCondition; 0x80 added: a time to live follows the header; 0x40 added: that one is the keyspace's default)
///  2 early mark  of the leader, where it may acknowledge the write before its commit; else zero
///  4 timestamp   hybrid timestamp of the leader: the only time the state machine knows
/// 12 session, 20 sequence, 28 acknowledged floor of the request id (zero: none)
/// 36 epoch       that the leader served the write in
/// 44 expected    log index for if-version, and for the record that expires
/// 52 key length  two bytes, then the time to live in milliseconds (8 bytes, if there is one), then the key, then the value up to the end
/// </code>
/// The value of an increment is what it adds (8 bytes); that of an expiry the dots that expire, or nothing where <see cref="Expected"/> says it all. The value of a transaction is a
/// <see cref="Transactions.Transaction"/>, its key the first of its keys, and its time to live the keyspace's default, for those of its puts that state none.
/// </summary>
public readonly ref struct WriteCommand
{
    public const int HeaderLength = 54;

    private const byte PutKind = 1;
    private const byte DeleteKind = 2;
    private const byte IncrementKind = 3;
    private const byte ExpireKind = 4;
    private const byte TransactionKind = 8;
    private const byte ConditionMask = 0x0F;
    private const byte HasTtl = 0x80;
    private const byte TtlIsDefault = 0x40;

    private readonly ReadOnlySpan<byte> _bytes;

    private WriteCommand(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    /// <summary>What a client asked for. None: an expiry, for which nobody asked.</summary>
    public OperationKind Kind => _bytes[0] switch
    {
        PutKind => OperationKind.Put,
        DeleteKind => OperationKind.Delete,
        IncrementKind => OperationKind.Increment,
        TransactionKind => OperationKind.Transaction,
        _ => OperationKind.None,
    };

    public bool IsExpiry => _bytes[0] == ExpireKind;

    /// <summary>Whether the payload of an entry, whatever it is, is an expiry.</summary>
    public static bool IsExpiryEntry(ReadOnlySpan<byte> payload) => payload.Length >= HeaderLength && payload[0] == ExpireKind;

    public WriteCondition Condition => (WriteCondition)(_bytes[1] & ConditionMask);

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

    /// <summary>How long the value lives, in milliseconds from the timestamp. Zero: for ever.</summary>
    public ulong TtlMs => (_bytes[1] & HasTtl) == 0 ? 0 : BinaryPrimitives.ReadUInt64LittleEndian(_bytes[HeaderLength..]);

    /// <summary>When the value expires, in Unix milliseconds of the leader's clock. Zero: never.</summary>
    public ulong ExpiresMs => TtlMs is > 0 and var ttl ? (Timestamp >> Versioning.HybridTimestamp.CounterBits) + ttl : 0;

    public ReadOnlySpan<byte> Key => _bytes.Slice(KeyOffset, KeyLength);

    public ReadOnlySpan<byte> Value => _bytes[(KeyOffset + KeyLength)..];

    /// <summary>Where the key begins.</summary>
    public int KeyOffset => (_bytes[1] & HasTtl) == 0 ? HeaderLength : HeaderLength + sizeof(ulong);

    /// <summary>What an increment adds.</summary>
    public long Delta => BinaryPrimitives.ReadInt64LittleEndian(Value);

    /// <summary>
    /// Tells a retry of a request from another request under the same id: over kind, condition, expected version, key, value and the time to live that the client asked for. The keyspace's default is left out:
    /// it may have changed since.
    /// </summary>
    public uint PayloadHash
    {
        get
        {
            bool ttlCounts = (_bytes[1] & (HasTtl | TtlIsDefault)) == HasTtl;
            uint hash = (uint)KeyHash.Of(_bytes[(ttlCounts ? HeaderLength : KeyOffset)..]);
            return hash ^ ((uint)_bytes[0] << 8) ^ (uint)(_bytes[1] & ConditionMask) ^ (ttlCounts ? HasTtl : 0u) ^ ((uint)Expected.Value << 16) ^ (uint)KeyLength;
        }
    }

    private int KeyLength => BinaryPrimitives.ReadUInt16LittleEndian(_bytes[52..]);

    public static int SizeOf(int keyLength, int valueLength) => HeaderLength + keyLength + valueLength;

    /// <summary>How many bytes <see cref="Encode"/> takes.</summary>
    public static int SizeOf(in ClientOperation operation, ulong defaultTtlMs = 0) =>
        SizeOf(operation.Key.Length, operation.Kind == OperationKind.Increment ? sizeof(long) : operation.Value.Length)
        + (operation.EffectiveTtlMs(defaultTtlMs) == 0 ? 0 : sizeof(ulong));

    /// <summary>Writes a command into <paramref name="target"/>, which has exactly <see cref="SizeOf(in ClientOperation, ulong)"/> bytes.</summary>
    public static void Encode(Span<byte> target, in ClientOperation operation, LogIndex expected, ulong timestamp, Epoch epoch, ulong defaultTtlMs = 0)
    {
        ReadOnlySpan<byte> key = operation.Key.Span;
        byte kind = operation.Kind switch { OperationKind.Put => PutKind, OperationKind.Increment => IncrementKind, OperationKind.Transaction => TransactionKind, _ => DeleteKind };
        WriteHeader(target, kind, (byte)operation.Condition, timestamp, operation.Request, epoch, expected, key.Length);
        int at = HeaderLength;
        if (operation.EffectiveTtlMs(defaultTtlMs) is > 0 and var ttl)
        {
            target[1] |= operation.TtlMs == 0 ? (byte)(HasTtl | TtlIsDefault) : HasTtl;
            BinaryPrimitives.WriteUInt64LittleEndian(target[at..], ttl);
            at += sizeof(ulong);
        }

        key.CopyTo(target[at..]);
        at += key.Length;
        if (operation.Kind == OperationKind.Increment)
        {
            BinaryPrimitives.WriteInt64LittleEndian(target[at..], operation.Delta);
        }
        else
        {
            operation.Value.Span.CopyTo(target[at..]);
        }
    }

    /// <summary>Writes the entry that removes what has expired of a key: exactly what it names, so that it can't remove a refresh.</summary>
    /// <param name="target">Has exactly <see cref="SizeOf(int, int)"/> bytes.</param>
    /// <param name="key">The key.</param>
    /// <param name="record">The index of the record that expires; zero where the key holds several values.</param>
    /// <param name="dots">Encoded dots then; else empty.</param>
    /// <param name="timestamp">Of the leader: the expiry must have passed.</param>
    /// <param name="epoch">That the leader serves in.</param>
    public static void EncodeExpiry(Span<byte> target, ReadOnlySpan<byte> key, LogIndex record, ReadOnlySpan<byte> dots, ulong timestamp, Epoch epoch)
    {
        WriteHeader(target, ExpireKind, 0, timestamp, RequestId.None, epoch, record, key.Length);
        key.CopyTo(target[HeaderLength..]);
        dots.CopyTo(target[(HeaderLength + key.Length)..]);
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
        Invariant.Assert(payload[0] is (>= PutKind and <= ExpireKind) or TransactionKind || MergeCommand.IsMerge(payload), "a write command is of a known kind, or a merge, which shares its header");
        var command = new WriteCommand(payload);
        Invariant.Assert(payload.Length >= command.KeyOffset + command.KeyLength, "a write command holds its whole key");
        Invariant.Assert(payload[0] != IncrementKind || command.Value.Length == sizeof(long), "an increment says what it adds");
        return command;
    }

    private static void WriteHeader(Span<byte> target, byte kind, byte condition, ulong timestamp, in RequestId request, Epoch epoch, LogIndex expected, int keyLength)
    {
        target[..4].Clear();
        target[0] = kind;
        target[1] = condition;
        BinaryPrimitives.WriteUInt64LittleEndian(target[4..], timestamp);
        BinaryPrimitives.WriteUInt64LittleEndian(target[12..], request.Session);
        BinaryPrimitives.WriteUInt64LittleEndian(target[20..], request.Sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(target[28..], request.AcknowledgedFloor);
        BinaryPrimitives.WriteUInt64LittleEndian(target[36..], epoch.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(target[44..], expected.Value);
        BinaryPrimitives.WriteUInt16LittleEndian(target[52..], checked((ushort)keyLength));
    }
}
