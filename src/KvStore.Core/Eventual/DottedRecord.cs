using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>Numbers are part of the disk format.</summary>
internal enum DottedRecordKind : byte
{
    /// <summary>A key's new stored object and the dots it accounts for.</summary>
    Change = 1,

    /// <summary>A full copy has begun: the replica is recovering.</summary>
    CopyBegun = 2,

    /// <summary>Every range was copied: the clock of what can't be pulled any more is adopted.</summary>
    ClockAdopted = 3,

    /// <summary>All is accounted for: the replica is whole again.</summary>
    CopyFinished = 4,
}

/// <summary>The payload of a Dotted log record. The stored object comes last, so that the view's record is a slice of the log's.</summary>
internal readonly struct DottedRecord
{
    public required DottedRecordKind Kind { get; init; }

    public Key Key { get; init; }

    public Dot[] Dots { get; init; }

    /// <summary>Empty: the key is removed.</summary>
    public ReadOnlyMemory<byte> Stored { get; init; }

    public ShardClock? Clock { get; init; }

    /// <summary>Encodes a change; returns the record and how many bytes at its end are the stored object.</summary>
    public static (byte[] Record, int StoredBytes) EncodeChange(ArrayBufferWriter<byte> scratch, Key key, ReadOnlySpan<Dot> dots, DottedObject stored)
    {
        scratch.ResetWrittenCount();
        VarInt.WriteByte(scratch, (byte)DottedRecordKind.Change);
        VarInt.WriteBytes(scratch, key.Span);
        VarInt.Write(scratch, (ulong)dots.Length);
        foreach (Dot dot in dots)
        {
            VarInt.WriteDot(scratch, dot);
        }

        int header = scratch.WrittenCount;
        if (!stored.IsVacant)
        {
            stored.Encode(scratch);
        }

        return (scratch.WrittenSpan.ToArray(), scratch.WrittenCount - header);
    }

    /// <summary>The stored object alone, for a view that has no log.</summary>
    public static byte[] EncodeStored(ArrayBufferWriter<byte> scratch, DottedObject stored)
    {
        scratch.ResetWrittenCount();
        if (!stored.IsVacant)
        {
            stored.Encode(scratch);
        }

        return scratch.WrittenSpan.ToArray();
    }

    public static byte[] EncodeMark(ArrayBufferWriter<byte> scratch, DottedRecordKind kind, ShardClock? clock)
    {
        scratch.ResetWrittenCount();
        VarInt.WriteByte(scratch, (byte)kind);
        clock?.Encode(scratch);
        return scratch.WrittenSpan.ToArray();
    }

    public static DottedRecord Decode(ReadOnlyMemory<byte> bytes)
    {
        BinaryCursor input = new(bytes);
        DottedRecordKind kind = (DottedRecordKind)input.ReadByte();
        switch (kind)
        {
            case DottedRecordKind.Change:
                Key key = input.ReadKey();
                Dot[] dots = new Dot[input.ReadCount(2)];
                for (int i = 0; i < dots.Length; i++)
                {
                    dots[i] = input.ReadDot();
                }

                return new DottedRecord { Kind = kind, Key = key, Dots = dots, Stored = input.ReadRest() };
            case DottedRecordKind.ClockAdopted:
                ShardClock clock = ShardClock.Decode(ref input);
                input.ExpectEnd();
                return new DottedRecord { Kind = kind, Clock = clock };
            case DottedRecordKind.CopyBegun or DottedRecordKind.CopyFinished:
                input.ExpectEnd();
                return new DottedRecord { Kind = kind };
            default:
                throw new MalformedRecordException("a dotted log record has an unknown kind");
        }
    }
}
