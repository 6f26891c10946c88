using System.Buffers.Binary;
using KvStore.Contracts;

namespace KvStore.Client.Caching;

/// <summary>
/// What a key of a cache holds: the value, and when it was set. Layout: format (1 byte), kind (1), set at (8, ticks), and if the value slides its window (8, ms) and absolute end (8, ms; 0: none), little-endian; then the
/// value. The end is a moment of the setter's clock; how long the value has left now is what the store says.
/// </summary>
internal readonly struct CacheRecord
{
    /// <summary>The longest value that fits, whatever its expiration.</summary>
    public const int MaxValueBytes = KvLimits.MaxValueBytes - SlidingHeaderBytes;

    private const byte Format = 1;
    private const int HeaderBytes = 10;
    private const int SlidingHeaderBytes = 26;

    private CacheRecord(ReadOnlyMemory<byte> bytes, Kind kind, long setAt, long windowMs, long endMs, ReadOnlyMemory<byte> value) =>
        (Bytes, What, SetAt, Window, EndMs, Value) = (bytes, kind, setAt, TimeSpan.FromMilliseconds(windowMs), endMs, value);

    private enum Kind : byte
    {
        Plain = 0,
        Sliding = 1,
        Removed = 2,
    }

    /// <summary>All of it, as it is stored.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    public ReadOnlyMemory<byte> Value { get; }

    /// <summary>The value was taken away; see <see cref="Removed"/>.</summary>
    public bool IsRemoved => What == Kind.Removed;

    public bool IsSliding => What == Kind.Sliding;

    private Kind What { get; }

    /// <summary>When the value was set, not when it was last renewed, by the clock of the setter.</summary>
    private long SetAt { get; }

    private TimeSpan Window { get; }

    /// <summary>The end of a sliding value whatever is read; 0: none.</summary>
    private long EndMs { get; }

    /// <summary>Room for a value with its header before it, which is written.</summary>
    public static byte[] Prepare(DateTimeOffset now, in EntryLifetime lifetime, long valueBytes, out Memory<byte> value)
    {
        int header = lifetime.Window is null ? HeaderBytes : SlidingHeaderBytes;
        byte[] bytes = new byte[header + (int)valueBytes];
        WriteHeader(bytes, lifetime.Window is null ? Kind.Plain : Kind.Sliding, now);
        if (lifetime.Window is { } window)
        {
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(10), (long)window.TotalMilliseconds);
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(18), lifetime.End?.ToUnixTimeMilliseconds() ?? 0);
        }

        value = bytes.AsMemory(header);
        return bytes;
    }

    /// <summary>Takes the place of a value that is removed, for a while: a renewal that is under way at that moment then meets something newer than itself, where the absence of a value would let it in.</summary>
    public static byte[] Removed(DateTimeOffset now)
    {
        byte[] bytes = new byte[HeaderBytes];
        WriteHeader(bytes, Kind.Removed, now);
        return bytes;
    }

    /// <summary>What counts of an entry: the record that was set last. Among equals the bytes decide, so that all readers agree.</summary>
    /// <exception cref="FormatException">The key holds what no cache has written.</exception>
    public static CacheRecord Of(KvEntry<ReadOnlyMemory<byte>> entry)
    {
        CacheRecord chosen = Decode(entry.Value);
        foreach (KvSibling<ReadOnlyMemory<byte>> sibling in entry.Siblings)
        {
            CacheRecord other = Decode(sibling.Value);
            int newer = other.SetAt.CompareTo(chosen.SetAt);
            if (newer > 0 || (newer == 0 && other.Bytes.Span.SequenceCompareTo(chosen.Bytes.Span) > 0))
            {
                chosen = other;
            }
        }

        return chosen;
    }

    /// <summary>How long the value would live if it were renewed now; null: a renewal is not due, since it would gain less than the stated part of the window. Siblings are settled by renewing.</summary>
    public TimeSpan? DueRenewal(KvEntry<ReadOnlyMemory<byte>> entry, DateTimeOffset now, double renewAfter)
    {
        if (!IsSliding)
        {
            return null;
        }

        TimeSpan left = EndMs == 0 ? TimeSpan.MaxValue : DateTimeOffset.FromUnixTimeMilliseconds(EndMs) - now;
        TimeSpan renewed = left < Window ? left : Window;
        bool isDue = entry.SiblingCount > 1 || entry.ExpiresIn is not { } current || renewed - current >= Window * renewAfter;
        return isDue && renewed >= EntryLifetime.Shortest ? renewed : null;
    }

    /// <exception cref="FormatException">No cache has written this.</exception>
    private static CacheRecord Decode(ReadOnlyMemory<byte> bytes)
    {
        ReadOnlySpan<byte> span = bytes.Span;
        if (span.Length >= HeaderBytes && span[0] == Format)
        {
            long setAt = BinaryPrimitives.ReadInt64LittleEndian(span[2..]);
            switch ((Kind)span[1])
            {
                case Kind.Plain or Kind.Removed:
                    return new CacheRecord(bytes, (Kind)span[1], setAt, 0, 0, bytes[HeaderBytes..]);
                case Kind.Sliding when span.Length >= SlidingHeaderBytes:
                    long windowMs = BinaryPrimitives.ReadInt64LittleEndian(span[10..]);
                    long endMs = BinaryPrimitives.ReadInt64LittleEndian(span[18..]);
                    if (windowMs is > 0 and <= (long)KvLimits.MaxTtlMs && endMs >= 0 && endMs <= DateTimeOffset.MaxValue.ToUnixTimeMilliseconds())
                    {
                        return new CacheRecord(bytes, Kind.Sliding, setAt, windowMs, endMs, bytes[SlidingHeaderBytes..]);
                    }

                    break;
            }
        }

        throw new FormatException("The key holds something that this cache has not written: give the cache a keyspace, or a key prefix, that nothing else uses.");
    }

    private static void WriteHeader(Span<byte> bytes, Kind kind, DateTimeOffset now)
    {
        bytes[0] = Format;
        bytes[1] = (byte)kind;
        BinaryPrimitives.WriteInt64LittleEndian(bytes[2..], now.UtcTicks);
    }
}
