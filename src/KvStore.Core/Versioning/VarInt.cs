using System.Buffers;
using System.Buffers.Binary;
using System.Numerics;

namespace KvStore.Core.Versioning;

/// <summary>
/// Writes the primitives of the record formats: unsigned LEB128 integers of 1 to 10 bytes, little-endian 64-bit words, and byte strings with their length in front.
/// <see cref="BinaryCursor"/> reads them back.
/// </summary>
public static class VarInt
{
    public const int MaxLength = 10;

    /// <summary>How many bytes <see cref="Write(IBufferWriter{byte}, ulong)"/> takes for the value.</summary>
    public static int SizeOf(ulong value) => ((63 - BitOperations.LeadingZeroCount(value | 1)) / 7) + 1;

    public static void Write(IBufferWriter<byte> output, ulong value)
    {
        Span<byte> span = output.GetSpan(MaxLength);
        output.Advance(Write(span, value));
    }

    /// <summary>Writes into a span of at least <see cref="MaxLength"/> bytes; returns how many were used.</summary>
    public static int Write(Span<byte> span, ulong value)
    {
        int length = 0;
        while (value >= 0x80)
        {
            span[length++] = (byte)(value | 0x80);
            value >>= 7;
        }

        span[length++] = (byte)value;
        return length;
    }

    public static void WriteByte(IBufferWriter<byte> output, byte value)
    {
        output.GetSpan(1)[0] = value;
        output.Advance(1);
    }

    public static void WriteFixed64(IBufferWriter<byte> output, ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(output.GetSpan(sizeof(ulong)), value);
        output.Advance(sizeof(ulong));
    }

    public static void WriteBytes(IBufferWriter<byte> output, ReadOnlySpan<byte> bytes)
    {
        Write(output, (ulong)bytes.Length);
        output.Write(bytes);
    }

    public static void WriteDot(IBufferWriter<byte> output, Dot dot)
    {
        Write(output, dot.Actor.Value);
        Write(output, dot.Counter);
    }
}
