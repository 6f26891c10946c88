using System.Buffers;
using KvStore.Core.Identity;

namespace KvStore.Core.Versioning;

/// <summary>
/// A key as the log wrote it, encoded compactly: tag, log index, timestamp, value; no vector. The ordered path reads and writes these without building a <see cref="DottedObject"/>;
/// <see cref="DottedObject.Decode(ReadOnlyMemory{byte})"/> reads the same bytes after a switch of regime.
/// </summary>
public readonly struct OrderedRecord
{
    /// <summary>First byte of the encoding.</summary>
    public const byte Tag = 0x01;

    public OrderedRecord(LogIndex index, HybridTimestamp timestamp, ReadOnlyMemory<byte> value)
    {
        Index = index;
        Timestamp = timestamp;
        Value = value;
    }

    /// <summary>The index of the entry that wrote it; at least 1.</summary>
    public LogIndex Index { get; }

    public HybridTimestamp Timestamp { get; }

    public ReadOnlyMemory<byte> Value { get; }

    public int EncodedSize => 1 + VarInt.SizeOf(Index.Value) + sizeof(ulong) + Value.Length;

    public static bool IsOrdered(ReadOnlySpan<byte> record) => record.Length > 0 && record[0] == Tag;

    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.WriteByte(output, Tag);
        VarInt.Write(output, Index.Value);
        VarInt.WriteFixed64(output, Timestamp.Packed);
        output.Write(Value.Span);
    }

    /// <summary>The value is a slice of the record; nothing is allocated.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public static OrderedRecord Decode(ReadOnlyMemory<byte> record)
    {
        BinaryCursor input = new(record);
        if (input.ReadByte() != Tag)
        {
            MalformedRecordException.Throw("an ordered record has another tag");
        }

        LogIndex index = new(input.ReadCounter());
        HybridTimestamp timestamp = new(input.ReadFixed64());
        return new OrderedRecord(index, timestamp, input.ReadRest());
    }
}
