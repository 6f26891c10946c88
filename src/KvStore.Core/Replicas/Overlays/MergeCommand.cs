using System.Buffers;
using System.Buffers.Binary;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// The log entries that bring writes made outside the log into it. They begin with the header of a <see cref="WriteCommand"/> without request, condition, key and early mark: kind, the leader's
/// timestamp, epoch. Behind it:
/// <code>
/// 6 merge        one record (OverlayRecord)
/// 7 merge-done   number of actors, then for each the counter up to which its holder has nothing left to merge
/// </code>
/// </summary>
internal static class MergeCommand
{
    public const byte MergeKind = 6;
    public const byte DoneKind = 7;

    public static bool IsMerge(ReadOnlySpan<byte> payload) => payload.Length > 0 && payload[0] is MergeKind or DoneKind;

    /// <summary>A batch of records, as it travels to the leader, which makes an entry of each, and to other replicas.</summary>
    public static void EncodeRecords(IBufferWriter<byte> output, IReadOnlyList<ReadOnlyMemory<byte>> records)
    {
        VarInt.Write(output, (ulong)records.Count);
        foreach (ReadOnlyMemory<byte> record in records)
        {
            VarInt.WriteBytes(output, record.Span);
        }
    }

    /// <summary>The body of a merge-done, as it travels to the leader.</summary>
    public static void EncodeDone(IBufferWriter<byte> output, IReadOnlyCollection<Dot> upTo)
    {
        VarInt.Write(output, (ulong)upTo.Count);
        foreach (Dot dot in upTo)
        {
            VarInt.WriteDot(output, dot);
        }
    }

    /// <summary>The entry that holds a body.</summary>
    public static byte[] Compose(byte kind, ReadOnlySpan<byte> body, ulong timestamp, Epoch epoch)
    {
        byte[] entry = new byte[WriteCommand.HeaderLength + body.Length];
        entry[0] = kind;
        BinaryPrimitives.WriteUInt64LittleEndian(entry.AsSpan(4), timestamp);
        BinaryPrimitives.WriteUInt64LittleEndian(entry.AsSpan(36), epoch.Value);
        body.CopyTo(entry.AsSpan(WriteCommand.HeaderLength));
        return entry;
    }

    public static ReadOnlyMemory<byte> BodyOf(in Entry entry) => entry.Payload[WriteCommand.HeaderLength..];

    /// <summary>The records of a batch, encoded.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such batch.</exception>
    public static ReadOnlyMemory<byte>[] SplitRecords(ReadOnlyMemory<byte> body)
    {
        BinaryCursor input = new(body);
        ReadOnlyMemory<byte>[] records = new ReadOnlyMemory<byte>[input.ReadCount(8)];
        for (int i = 0; i < records.Length; i++)
        {
            records[i] = input.ReadBytes();
        }

        input.ExpectEnd();
        return records;
    }

    /// <exception cref="MalformedRecordException">The bytes are no such batch.</exception>
    public static OverlayRecord[] DecodeRecords(ReadOnlyMemory<byte> body) => [.. SplitRecords(body).Select(encoded => OverlayRecord.Decode(encoded))];

    /// <exception cref="MalformedRecordException">The bytes are no such body.</exception>
    public static Dot[] DecodeDone(ReadOnlyMemory<byte> body)
    {
        BinaryCursor input = new(body);
        Dot[] upTo = new Dot[input.ReadCount(2)];
        for (int i = 0; i < upTo.Length; i++)
        {
            upTo[i] = input.ReadDot();
            if (upTo[i].Actor.IsLog)
            {
                MalformedRecordException.Throw("a merge-done speaks of the log");
            }
        }

        input.ExpectEnd();
        return upTo;
    }
}
