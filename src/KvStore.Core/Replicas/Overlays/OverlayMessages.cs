using System.Buffers;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>Overlay records for another replica. <paramref name="Operation"/> is the sender's number for the acknowledgement; zero: none is wanted.</summary>
internal readonly record struct OverlayShare(ulong Operation, OverlayRecord[] Records)
{
    public static void Encode(IBufferWriter<byte> output, ulong operation, IReadOnlyList<ReadOnlyMemory<byte>> records)
    {
        VarInt.Write(output, operation);
        MergeCommand.EncodeRecords(output, records);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static OverlayShare Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        return new OverlayShare(input.ReadVarInt(), MergeCommand.DecodeRecords(input.ReadRest()));
    }
}

/// <summary>The answer: the records are durable at the sender, or it has no room for them.</summary>
internal readonly record struct OverlayShared(ulong Operation, bool Taken)
{
    public void Encode(IBufferWriter<byte> output)
    {
        VarInt.Write(output, Operation);
        VarInt.WriteByte(output, Taken ? (byte)1 : (byte)0);
    }

    /// <exception cref="MalformedRecordException">The bytes are no such message.</exception>
    public static OverlayShared Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        var shared = new OverlayShared(input.ReadVarInt(), input.ReadBool());
        input.ExpectEnd();
        return shared;
    }
}
