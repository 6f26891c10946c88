using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using KvStore.Contracts;

namespace KvStore.Client.OutputCaching;

/// <summary>What a tag stood for when a page was stored.</summary>
internal readonly record struct TagStamp(string Tag, Guid Stamp)
{
    public const int StampBytes = 16;
}

/// <summary>A page as it is stored: format (1 byte), number of tags (2), each tag's length (2), text and stamp (16); then the page as the middleware gave it.</summary>
internal static class StoredPage
{
    private const byte Format = 1;

    /// <exception cref="ArgumentException">It is too long to be stored.</exception>
    public static byte[] Encode(IReadOnlyList<TagStamp> tags, ReadOnlySequence<byte> page)
    {
        long length = 3 + tags.Sum(tag => 2L + Encoding.UTF8.GetByteCount(tag.Tag) + TagStamp.StampBytes) + page.Length;
        if (length > KvLimits.MaxValueBytes || tags.Count > ushort.MaxValue)
        {
            throw new ArgumentException(
                $"A page of the output cache has, with its tags, at most {KvLimits.MaxValueBytes} bytes; this one has {length}. Set OutputCacheOptions.MaximumBodySize to 1,000,000, and larger responses are not tried.", nameof(page));
        }

        byte[] bytes = new byte[length];
        bytes[0] = Format;
        Span<byte> rest = bytes.AsSpan(1);
        BinaryPrimitives.WriteUInt16LittleEndian(rest, (ushort)tags.Count);
        rest = rest[2..];
        foreach (TagStamp tag in tags)
        {
            int textBytes = Encoding.UTF8.GetBytes(tag.Tag, rest[2..]);
            BinaryPrimitives.WriteUInt16LittleEndian(rest, (ushort)textBytes);
            tag.Stamp.TryWriteBytes(rest[(2 + textBytes)..]);
            rest = rest[(2 + textBytes + TagStamp.StampBytes)..];
        }

        page.CopyTo(rest);
        return bytes;
    }

    /// <exception cref="FormatException">The key holds something else.</exception>
    public static (IReadOnlyList<TagStamp> Tags, ReadOnlyMemory<byte> Page) Decode(ReadOnlyMemory<byte> bytes)
    {
        try
        {
            if (bytes.Span[0] == Format)
            {
                var tags = new TagStamp[BinaryPrimitives.ReadUInt16LittleEndian(bytes.Span[1..])];
                ReadOnlyMemory<byte> rest = bytes[3..];
                for (int i = 0; i < tags.Length; i++)
                {
                    int textBytes = BinaryPrimitives.ReadUInt16LittleEndian(rest.Span);
                    tags[i] = new TagStamp(Encoding.UTF8.GetString(rest.Span.Slice(2, textBytes)), new Guid(rest.Span.Slice(2 + textBytes, TagStamp.StampBytes)));
                    rest = rest[(2 + textBytes + TagStamp.StampBytes)..];
                }

                return (tags, rest);
            }
        }
        catch (Exception tooShort) when (tooShort is IndexOutOfRangeException or ArgumentOutOfRangeException)
        {
            throw Foreign(tooShort);
        }

        throw Foreign(null);
    }

    private static FormatException Foreign(Exception? cause) => new("The key holds something that the output cache has not written: give it a keyspace that nothing else uses.", cause);
}
