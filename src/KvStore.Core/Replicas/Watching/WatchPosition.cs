using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Watching;

/// <summary>
/// How far a watch of one shard has told. While the log writes: up to an entry, the same on every replica. While the replicas write: which dots were told of, in which open period; two replicas tell them in
/// different orders, so a resume elsewhere asks for what is missing from the set. Immutable.
/// </summary>
public sealed class WatchPosition
{
    /// <summary>More bytes than this are refused: an honest position needs a hundred, and up to a few thousand while replicas are apart.</summary>
    public const int MaxBytes = 65_536;

    private const byte OrderedFormat = 1;
    private const byte OpenFormat = 2;

    private WatchPosition(bool isOpen, LogPlace place, int ordinal, ShardClock seen)
    {
        IsOpen = isOpen;
        Place = place;
        Ordinal = ordinal;
        Seen = seen;
    }

    /// <summary>The replicas wrote.</summary>
    public bool IsOpen { get; }

    /// <summary>The last entry that was told of. Open: the one with which the open period began; its term does not count.</summary>
    public LogPlace Place { get; }

    /// <summary>So many changes of that entry were told; zero: all.</summary>
    public int Ordinal { get; }

    /// <summary>Open: the dots of replicas that were told of. Not to be changed.</summary>
    public ShardClock Seen { get; }

    public static WatchPosition InLog(LogPlace place, int ordinal) => new(false, place, ordinal, new ShardClock());

    /// <param name="seen">Taken over: the caller must not change it any more.</param>
    public static WatchPosition Open(LogIndex episode, ShardClock seen) => new(true, new LogPlace(Term.Zero, episode), 0, seen);

    /// <summary>Whether a change of an entry was told, by a position in the log.</summary>
    public bool Covers(LogPlace place, int ordinal) =>
        place.Index < Place.Index || (place.Index == Place.Index && (Ordinal == 0 || (ordinal != 0 && ordinal <= Ordinal)));

    public static byte[] Encode(bool isOpen, LogPlace place, int ordinal, ShardClock seen)
    {
        var output = new ArrayBufferWriter<byte>(64);
        VarInt.WriteByte(output, isOpen ? OpenFormat : OrderedFormat);
        VarInt.Write(output, place.Index.Value);
        if (isOpen)
        {
            seen.Encode(output);
        }
        else
        {
            VarInt.Write(output, place.Term.Value);
            VarInt.Write(output, (ulong)ordinal);
        }

        return output.WrittenSpan.ToArray();
    }

    public byte[] Encode() => Encode(IsOpen, Place, Ordinal, Seen);

    /// <exception cref="MalformedRecordException">The bytes are no position. They came from a client: answer that the argument is invalid.</exception>
    public static WatchPosition Decode(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.Length > MaxBytes)
        {
            MalformedRecordException.Throw("a watch's position is too long");
        }

        BinaryCursor input = new(bytes);
        byte format = input.ReadByte();
        ulong index = input.ReadVarInt();
        if (format is not (OrderedFormat or OpenFormat) || index > Dot.MaxCounter)
        {
            MalformedRecordException.Throw("a watch's position has an unknown format");
        }

        WatchPosition position;
        if (format == OpenFormat)
        {
            position = Open(new LogIndex(index), ShardClock.Decode(ref input));
        }
        else
        {
            var term = new Term(input.ReadVarInt());
            ulong ordinal = input.ReadVarInt();
            if (ordinal > int.MaxValue)
            {
                MalformedRecordException.Throw("a watch's position is out of range");
            }

            position = InLog(new LogPlace(term, new LogIndex(index)), (int)ordinal);
        }

        input.ExpectEnd();
        return position;
    }
}
