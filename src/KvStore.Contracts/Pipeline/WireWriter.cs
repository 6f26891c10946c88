using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace KvStore.Contracts.Pipeline;

/// <summary>
/// Protobuf fields into a span that is large enough (see the Size methods). Fields with their default value are left out, as canonical proto3 demands. Tags are those of the
/// protobuf encoding: field number times 8, plus the wire type.
/// </summary>
public ref struct WireWriter(Span<byte> destination)
{
    private readonly Span<byte> _destination = destination;
    private int _position;

    public readonly int Written => _position;

    public static int VarintSize(ulong value) => (((BitOperations.Log2(value | 1) * 9) + 73) / 64);

    /// <summary>What <see cref="Varint"/> takes, or 0 for the default.</summary>
    public static int VarintFieldSize(int tagBytes, ulong value) => value == 0 ? 0 : tagBytes + VarintSize(value);

    public static int BytesFieldSize(int tagBytes, int length) => length == 0 ? 0 : ElementSize(tagBytes, length);

    /// <summary>A length-delimited field that is written even when empty: a sub-message or an element of a repeated field.</summary>
    public static int ElementSize(int tagBytes, int length) => tagBytes + VarintSize((uint)length) + length;

    /// <summary>A sint64 as it goes into a varint.</summary>
    public static ulong ZigZag(long value) => ((ulong)value << 1) ^ (ulong)(value >> 63);

    public void Varint(uint tag, ulong value)
    {
        if (value != 0)
        {
            RawVarint(tag);
            RawVarint(value);
        }
    }

    public void Bool(uint tag, bool value)
    {
        if (value)
        {
            RawVarint(tag);
            _destination[_position++] = 1;
        }
    }

    public void Fixed64(uint tag, ulong value)
    {
        if (value != 0)
        {
            RawVarint(tag);
            BinaryPrimitives.WriteUInt64LittleEndian(_destination[_position..], value);
            _position += sizeof(ulong);
        }
    }

    public void Bytes(uint tag, ReadOnlySpan<byte> value)
    {
        if (value.Length > 0)
        {
            ElementHead(tag, value.Length);
            value.CopyTo(_destination[_position..]);
            _position += value.Length;
        }
    }

    public void Text(uint tag, string? value, int byteCount)
    {
        if (byteCount > 0)
        {
            ElementHead(tag, byteCount);
            _position += Encoding.UTF8.GetBytes(value, _destination[_position..]);
        }
    }

    /// <summary>Tag and length; the caller writes the body next.</summary>
    public void ElementHead(uint tag, int length)
    {
        RawVarint(tag);
        RawVarint((uint)length);
    }

    public void RawVarint(ulong value)
    {
        int position = _position;
        while (value >= 0x80)
        {
            _destination[position++] = (byte)(value | 0x80);
            value >>= 7;
        }

        _destination[position++] = (byte)value;
        _position = position;
    }
}
