using System.Buffers.Binary;
using KvStore.Core.Identity;

namespace KvStore.Core.Versioning;

/// <summary>
/// Reads a record front to back. Total: whatever the bytes, it returns values that were really there or throws <see cref="MalformedRecordException"/>; it never reads out of range, and
/// a count is believed only as far as the remaining bytes could hold it. Byte strings are slices of the input, not copies.
/// </summary>
public ref struct BinaryCursor
{
    private readonly ReadOnlyMemory<byte> _memory;
    private readonly ReadOnlySpan<byte> _span;

    public BinaryCursor(ReadOnlyMemory<byte> memory)
    {
        _memory = memory;
        _span = memory.Span;
    }

    public int Position { get; private set; }

    public readonly int Remaining => _span.Length - Position;

    public ulong ReadVarInt()
    {
        ulong value = 0;
        for (int shift = 0; ; shift += 7)
        {
            if (Position == _span.Length)
            {
                MalformedRecordException.Throw("an integer is cut off");
            }

            byte b = _span[Position++];
            if (shift == 63 && b > 1)
            {
                // Also the end of the loop: a tenth byte that announces another one is larger than 1.
                MalformedRecordException.Throw("an integer exceeds 64 bits");
            }

            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                if (b == 0 && shift > 0)
                {
                    MalformedRecordException.Throw("an integer is not in its shortest form");
                }

                return value;
            }
        }
    }

    /// <summary>Reads how many items follow, each of which takes at least <paramref name="minItemBytes"/> bytes.</summary>
    public int ReadCount(int minItemBytes)
    {
        ulong count = ReadVarInt();
        if (count > (ulong)(Remaining / minItemBytes))
        {
            MalformedRecordException.Throw("a count exceeds what the record can hold");
        }

        return (int)count;
    }

    public byte ReadByte()
    {
        if (Remaining < 1)
        {
            MalformedRecordException.Throw("a byte is missing");
        }

        return _span[Position++];
    }

    /// <summary>A byte that must be 0 or 1.</summary>
    public bool ReadBool()
    {
        byte value = ReadByte();
        if (value > 1)
        {
            MalformedRecordException.Throw("a truth value is neither 0 nor 1");
        }

        return value == 1;
    }

    public ulong ReadFixed64()
    {
        if (Remaining < sizeof(ulong))
        {
            MalformedRecordException.Throw("a 64-bit word is cut off");
        }

        ulong value = BinaryPrimitives.ReadUInt64LittleEndian(_span[Position..]);
        Position += sizeof(ulong);
        return value;
    }

    public ReadOnlyMemory<byte> ReadBytes()
    {
        int length = ReadCount(1);
        ReadOnlyMemory<byte> bytes = _memory.Slice(Position, length);
        Position += length;
        return bytes;
    }

    public ActorId ReadActor()
    {
        ulong value = ReadVarInt();
        if (value == 0)
        {
            MalformedRecordException.Throw("an actor is zero");
        }

        return new ActorId(value);
    }

    /// <summary>A counter of a dot: 1 to <see cref="Dot.MaxCounter"/>.</summary>
    public ulong ReadCounter()
    {
        ulong value = ReadVarInt();
        if (value is 0 or > Dot.MaxCounter)
        {
            MalformedRecordException.Throw("a counter is out of range");
        }

        return value;
    }

    public Dot ReadDot()
    {
        ActorId actor = ReadActor();
        return new Dot(actor, ReadCounter());
    }

    public Key ReadKey()
    {
        ReadOnlyMemory<byte> bytes = ReadBytes();
        if (bytes.Length is 0 or > Key.MaxLength)
        {
            MalformedRecordException.Throw("a key's length is out of range");
        }

        return new Key(bytes);
    }

    /// <summary>Everything that is left.</summary>
    public ReadOnlyMemory<byte> ReadRest()
    {
        ReadOnlyMemory<byte> rest = _memory[Position..];
        Position = _span.Length;
        return rest;
    }

    /// <summary>Must be called when a record that stands alone has been read.</summary>
    public readonly void ExpectEnd()
    {
        if (Remaining != 0)
        {
            MalformedRecordException.Throw("bytes are left over");
        }
    }
}
