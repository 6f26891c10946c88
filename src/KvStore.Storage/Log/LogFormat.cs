using System.Buffers.Binary;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage.Log;

/// <summary>
/// A record on the disk, little-endian, padded with zeros to eight bytes: payload length (4), CRC-32C (4), shard in 48 bits and kind in the top 8 (8), term (8), index (8), payload.
/// The CRC is seeded by the segment's generation, so what an earlier life of a recycled file left behind never passes for a record; it covers everything but itself, padding included.
/// </summary>
internal static class LogFormat
{
    public const int HeaderBytes = 32;
    public const int Alignment = 8;

    /// <summary>
    /// Opens a batch; the index is the batch's number. Batch n + 1 is written only after batch n was synced, so a mark proves that all before it had been durable: damage before a mark
    /// is corruption, damage behind the last one may be a torn write.
    /// </summary>
    public const LogRecordKind BatchMark = (LogRecordKind)100;

    /// <summary>The replica was removed: everything of this shard before it is void. The index is the view's generation at the time.</summary>
    public const LogRecordKind ShardRemoved = (LogRecordKind)101;

    /// <summary>Set in the kind of a record that was carried over from an older segment.</summary>
    public const byte CarriedFlag = 0x80;

    private const int ShardBits = 48;
    private const int KindShift = 56;

    public static int TotalBytes(int payloadBytes) => (HeaderBytes + payloadBytes + Alignment - 1) & ~(Alignment - 1);

    /// <summary>Lays a record out, all but the CRC. The target has exactly the record's total size.</summary>
    public static void Lay(Span<byte> target, ulong shard, byte kind, Term term, LogIndex index, ReadOnlySpan<byte> payload)
    {
        BinaryPrimitives.WriteInt32LittleEndian(target, payload.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(target[8..], shard | ((ulong)kind << KindShift));
        BinaryPrimitives.WriteUInt64LittleEndian(target[16..], term.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(target[24..], index.Value);
        payload.CopyTo(target[HeaderBytes..]);
        target[(HeaderBytes + payload.Length)..].Clear();
    }

    public static void Sign(Span<byte> record, uint seed) => BinaryPrimitives.WriteUInt32LittleEndian(record[4..], Checksum(record, seed));

    /// <summary>The total size of the record that begins here, or zero if none does.</summary>
    public static int Check(ReadOnlySpan<byte> bytes, uint seed)
    {
        if (bytes.Length < HeaderBytes)
        {
            return 0;
        }

        var length = BinaryPrimitives.ReadInt32LittleEndian(bytes);
        if (length < 0 || length > bytes.Length - HeaderBytes || TotalBytes(length) > bytes.Length)
        {
            return 0;
        }

        var total = TotalBytes(length);
        return BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]) == Checksum(bytes[..total], seed) ? total : 0;
    }

    public static int PayloadBytes(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadInt32LittleEndian(record);

    public static ulong Shard(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadUInt64LittleEndian(record[8..]) & ((1ul << ShardBits) - 1);

    public static byte RawKind(ReadOnlySpan<byte> record) => record[15];

    public static LogRecordKind Kind(ReadOnlySpan<byte> record) => (LogRecordKind)(record[15] & ~CarriedFlag);

    public static bool IsCarried(ReadOnlySpan<byte> record) => (record[15] & CarriedFlag) != 0;

    public static Term Term(ReadOnlySpan<byte> record) => new(BinaryPrimitives.ReadUInt64LittleEndian(record[16..]));

    public static LogIndex Index(ReadOnlySpan<byte> record) => new(BinaryPrimitives.ReadUInt64LittleEndian(record[24..]));

    private static uint Checksum(ReadOnlySpan<byte> record, uint seed) => Crc32C.Of(Crc32C.Of(seed, record[..4]), record[8..]);
}
