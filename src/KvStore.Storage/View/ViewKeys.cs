using System.Buffers.Binary;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage.View;

/// <summary>
/// The keys of the view on the disk: shard (8, big-endian), generation (4, big-endian), space (1), user key. Generation 0 holds one record, the shard's marker, and so stands before all its data.
/// </summary>
internal static class ViewKeys
{
    public const int PrefixBytes = 12;

    public static void WritePrefix(Span<byte> target, ulong shard, uint generation)
    {
        BinaryPrimitives.WriteUInt64BigEndian(target, shard);
        BinaryPrimitives.WriteUInt32BigEndian(target[8..], generation);
    }

    public static byte[] Prefix(ulong shard, uint generation)
    {
        var key = new byte[PrefixBytes];
        WritePrefix(key, shard, generation);
        return key;
    }

    public static byte[] Marker(ulong shard) => Prefix(shard, 0);

    public static ulong Shard(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadUInt64BigEndian(key);

    public static uint Generation(ReadOnlySpan<byte> key) => BinaryPrimitives.ReadUInt32BigEndian(key[8..]);

    /// <summary>A table key as it stands in memory: the space, then the user's key.</summary>
    public static byte[] TableKey(RecordSpace space, ReadOnlySpan<byte> key)
    {
        var result = new byte[1 + key.Length];
        result[0] = (byte)space;
        key.CopyTo(result.AsSpan(1));
        return result;
    }

    /// <summary>The first key behind all that begin with this one.</summary>
    public static byte[] EndOf(ReadOnlySpan<byte> prefix)
    {
        var end = prefix.ToArray();
        for (var i = end.Length - 1; i >= 0; i--)
        {
            if (++end[i] != 0)
            {
                return end[..(i + 1)];
            }
        }

        throw new ArgumentException("Nothing sorts behind a prefix of 0xFF bytes; shards never reach it.", nameof(prefix));
    }
}

/// <summary>Says at which position the shard's view stands, and which generation of its records counts. Written in the same batch as the data.</summary>
internal readonly record struct ViewMarker(uint Generation, ViewPosition Position)
{
    private const int Bytes = 28;

    public byte[] Encode()
    {
        var bytes = new byte[Bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Generation);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(4), Position.Applied.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(12), Position.AppliedTerm.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(20), Position.Dotted);
        return bytes;
    }

    public static ViewMarker Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length != Bytes)
        {
            throw new InvalidDataException("A shard's marker in the view has the wrong size: the view is damaged; remove this node and add it again with an empty data directory.");
        }

        return new ViewMarker(
            BinaryPrimitives.ReadUInt32LittleEndian(bytes),
            new ViewPosition(
                new LogIndex(BinaryPrimitives.ReadUInt64LittleEndian(bytes[4..])),
                new Term(BinaryPrimitives.ReadUInt64LittleEndian(bytes[12..])),
                BinaryPrimitives.ReadUInt64LittleEndian(bytes[20..])));
    }
}
