using System.Buffers;
using System.Buffers.Binary;
using KvStore.Core.Identity;

namespace KvStore.Core.Versioning;

/// <summary>
/// A key as the log wrote it, encoded compactly: tag, log index, timestamp, value; no vector. A pure counter of the log is one too. The ordered path reads and writes these without building a <see cref="DottedObject"/>;
/// <see cref="DottedObject.Decode(ReadOnlyMemory{byte})"/> reads the same bytes after a switch of regime.
/// </summary>
public readonly struct OrderedRecord
{
    /// <summary>First byte of the encoding of plain values.</summary>
    public const byte Tag = 0x01;

    /// <summary>First byte where the value is a counter or expires: <see cref="ValueFlags"/> stand in front of it.</summary>
    public const byte ExtendedTag = 0x04;

    public OrderedRecord(LogIndex index, HybridTimestamp timestamp, ReadOnlyMemory<byte> value)
    {
        Index = index;
        Timestamp = timestamp;
        Value = value;
    }

    /// <summary>The index of the entry that wrote it; at least 1.</summary>
    public LogIndex Index { get; }

    public HybridTimestamp Timestamp { get; }

    /// <summary>As it is stored; a counter's is a <see cref="CounterTotal"/>.</summary>
    public ReadOnlyMemory<byte> Value { get; }

    public ValueForm Form { get; init; }

    /// <summary>When it expires, in Unix milliseconds of the leader's clock. Zero: never.</summary>
    public ulong ExpiresMs { get; init; }

    /// <summary>The value as readers see it: a counter as decimal text.</summary>
    public ReadOnlyMemory<byte> Visible => Form == ValueForm.Counter ? CounterTotal.ToText(CounterTotal.Decode(Value).Total) : Value;

    public int EncodedSize => 1 + VarInt.SizeOf(Index.Value) + sizeof(ulong) + (IsPlain ? 0 : ValueFlags.SizeOf(ExpiresMs)) + Value.Length;

    private bool IsPlain => Form == ValueForm.Bytes && ExpiresMs == 0;

    public static bool IsOrdered(ReadOnlySpan<byte> record) => record.Length > 0 && record[0] is Tag or ExtendedTag;

    /// <summary>The bytes of a record, in one array of exactly their size.</summary>
    public static byte[] Encode(LogIndex index, ulong timestamp, ReadOnlySpan<byte> value, ValueForm form = ValueForm.Bytes, ulong expiresMs = 0)
    {
        bool plain = form == ValueForm.Bytes && expiresMs == 0;
        byte[] record = GC.AllocateUninitializedArray<byte>(1 + VarInt.SizeOf(index.Value) + sizeof(ulong) + (plain ? 0 : ValueFlags.SizeOf(expiresMs)) + value.Length);
        record[0] = plain ? Tag : ExtendedTag;
        int at = 1 + VarInt.Write(record.AsSpan(1), index.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(record.AsSpan(at), timestamp);
        at += sizeof(ulong);
        at += plain ? 0 : ValueFlags.Write(record.AsSpan(at), form, expiresMs);
        value.CopyTo(record.AsSpan(at));
        return record;
    }

    public void Encode(IBufferWriter<byte> output)
    {
        output.Write(Encode(Index, Timestamp.Packed, Value.Span, Form, ExpiresMs));
    }

    /// <summary>The value is a slice of the record; nothing is allocated.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no such record.</exception>
    public static OrderedRecord Decode(ReadOnlyMemory<byte> record)
    {
        BinaryCursor input = new(record);
        byte tag = input.ReadByte();
        if (tag is not (Tag or ExtendedTag))
        {
            MalformedRecordException.Throw("an ordered record has another tag");
        }

        LogIndex index = new(input.ReadCounter());
        HybridTimestamp timestamp = new(input.ReadFixed64());
        if (tag == Tag)
        {
            return new OrderedRecord(index, timestamp, input.ReadRest());
        }

        (ValueForm form, ulong expiresMs) = ValueFlags.Read(ref input);
        if (form == ValueForm.Bytes && expiresMs == 0)
        {
            MalformedRecordException.Throw("a plain record has the tag of another form");
        }

        ReadOnlyMemory<byte> value = input.ReadRest();
        if (form == ValueForm.Counter)
        {
            CounterTotal.Decode(value);
        }

        return new OrderedRecord(index, timestamp, value) { Form = form, ExpiresMs = expiresMs };
    }
}
