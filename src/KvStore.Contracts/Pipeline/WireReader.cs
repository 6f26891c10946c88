using System.Buffers.Binary;
using System.Text;

namespace KvStore.Contracts.Pipeline;

/// <summary>
/// Walks protobuf fields of untrusted bytes. It never throws and never reads over the end: on the first malformed byte it stands still at the end, <see cref="Malformed"/> stays true and everything
/// read from then on is default. The pattern is <c>while (reader.NextTag(out uint tag)) { switch (tag) ... default: reader.Skip(tag) }</c> and a look at <see cref="Malformed"/> afterwards.
/// A known field with an unexpected wire type has another tag, and so is skipped as unknown. Groups (deprecated, never used here) count as malformed.
/// </summary>
public ref struct WireReader
{
    private const int VarintType = 0;
    private const int Fixed64Type = 1;
    private const int BytesType = 2;
    private const int Fixed32Type = 5;

    private readonly ReadOnlyMemory<byte> _memory;
    private readonly ReadOnlySpan<byte> _span;
    private int _position;

    public WireReader(ReadOnlyMemory<byte> source)
    {
        _memory = source;
        _span = source.Span;
    }

    public bool Malformed { get; private set; }

    /// <summary>False at the end, and after a malformed field.</summary>
    public bool NextTag(out uint tag)
    {
        tag = 0;
        if (_position >= _span.Length)
        {
            return false;
        }

        ulong raw = Varint();
        if (raw is < 8 or > uint.MaxValue)
        {
            Fail();
            return false;
        }

        tag = (uint)raw;
        return true;
    }

    public ulong Varint()
    {
        ulong value = 0;
        int position = _position;
        for (int shift = 0; shift < 70 && position < _span.Length; shift += 7)
        {
            byte next = _span[position++];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                _position = position;
                return value;
            }
        }

        Fail();
        return 0;
    }

    /// <summary>A sint64.</summary>
    public long ZigZag()
    {
        ulong raw = Varint();
        return (long)(raw >> 1) ^ -(long)(raw & 1);
    }

    public uint UInt32() => (uint)Varint();

    public bool Bool() => Varint() != 0;

    public ulong Fixed64()
    {
        if (_span.Length - _position < sizeof(ulong))
        {
            Fail();
            return 0;
        }

        ulong value = BinaryPrimitives.ReadUInt64LittleEndian(_span[_position..]);
        _position += sizeof(ulong);
        return value;
    }

    /// <summary>The body of a length-delimited field: a slice of the source.</summary>
    public ReadOnlyMemory<byte> Bytes()
    {
        ulong length = Varint();
        if (Malformed || length > (ulong)(_span.Length - _position))
        {
            Fail();
            return default;
        }

        ReadOnlyMemory<byte> body = _memory.Slice(_position, (int)length);
        _position += (int)length;
        return body;
    }

    /// <summary>Invalid UTF-8 comes out as U+FFFD.</summary>
    public string Text() => Encoding.UTF8.GetString(Bytes().Span);

    public void Skip(uint tag)
    {
        switch (tag & 7)
        {
            case VarintType:
                Varint();
                break;
            case Fixed64Type:
                Advance(sizeof(ulong));
                break;
            case BytesType:
                Bytes();
                break;
            case Fixed32Type:
                Advance(sizeof(uint));
                break;
            default:
                Fail();
                break;
        }
    }

    /// <summary>For a sub-message that turned out to be malformed.</summary>
    public void Fail()
    {
        Malformed = true;
        _position = _span.Length;
    }

    private void Advance(int count)
    {
        if (_span.Length - _position < count)
        {
            Fail();
            return;
        }

        _position += count;
    }
}
