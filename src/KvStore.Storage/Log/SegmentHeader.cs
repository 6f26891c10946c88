using System.Buffers.Binary;
using System.Globalization;
using KvStore.Core.Identity;

namespace KvStore.Storage.Log;

/// <summary>
/// The first page of a segment: magic (8), format version (4), node (4), cluster (8), sequence (8), generation (8), number of its first batch (8),
/// end of the segment before it (8), CRC (4). It is durable before the file gets
/// its name, so a bad header is never a torn one.
/// </summary>
internal readonly record struct SegmentHeader(LogIdentity Identity, ulong Sequence, ulong Generation, ulong FirstBatch, long PreviousTail)
{
    /// <summary>Records begin here, on a page of their own, so that no append rewrites the header's sector.</summary>
    public const int PageBytes = 4096;

    public const int FormatVersion = 1;

    private const ulong Magic = 0x31_474F_4C_5653_4B56;
    private const int SignedBytes = 56;
    private const string Prefix = "log-";
    private const string Suffix = ".seg";

    /// <summary>The seed of the checksums of this segment's records.</summary>
    public uint Seed
    {
        get
        {
            Span<byte> bytes = stackalloc byte[20];
            BinaryPrimitives.WriteUInt64LittleEndian(bytes, Identity.Cluster);
            BinaryPrimitives.WriteUInt64LittleEndian(bytes[8..], Generation);
            BinaryPrimitives.WriteUInt32LittleEndian(bytes[16..], Identity.Node.Value);
            return Crc32C.Of(0, bytes);
        }
    }

    public string FileName => NameOf(Sequence);

    public static string NameOf(ulong sequence) => $"{Prefix}{sequence:x16}{Suffix}";

    public static bool TryParseName(string name, out ulong sequence)
    {
        sequence = 0;
        return name.Length == Prefix.Length + 16 + Suffix.Length && name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(Suffix, StringComparison.Ordinal)
            && ulong.TryParse(name.AsSpan(Prefix.Length, 16), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out sequence);
    }

    public void WriteTo(Span<byte> page)
    {
        page[..PageBytes].Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(page, Magic);
        BinaryPrimitives.WriteInt32LittleEndian(page[8..], FormatVersion);
        BinaryPrimitives.WriteUInt32LittleEndian(page[12..], Identity.Node.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(page[16..], Identity.Cluster);
        BinaryPrimitives.WriteUInt64LittleEndian(page[24..], Sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(page[32..], Generation);
        BinaryPrimitives.WriteUInt64LittleEndian(page[40..], FirstBatch);
        BinaryPrimitives.WriteInt64LittleEndian(page[48..], PreviousTail);
        BinaryPrimitives.WriteUInt32LittleEndian(page[SignedBytes..], Crc32C.Of(0, page[..SignedBytes]));
    }

    /// <summary>Reads and verifies a header.</summary>
    /// <exception cref="LogCorruptException">It is damaged, or belongs to another cluster, node or place in the log.</exception>
    public static SegmentHeader Read(ReadOnlySpan<byte> page, string file, LogIdentity expected, ulong sequence)
    {
        if (page.Length < PageBytes)
        {
            throw new LogCorruptException(file, page.Length, "the file is shorter than its header");
        }

        if (BinaryPrimitives.ReadUInt64LittleEndian(page) != Magic || BinaryPrimitives.ReadUInt32LittleEndian(page[SignedBytes..]) != Crc32C.Of(0, page[..SignedBytes]))
        {
            throw new LogCorruptException(file, 0, "the header's checksum is wrong");
        }

        var version = BinaryPrimitives.ReadInt32LittleEndian(page[8..]);
        if (version != FormatVersion)
        {
            throw new LogCorruptException(file, 8, $"it has format version {version}, and this program knows version {FormatVersion}");
        }

        var node = BinaryPrimitives.ReadUInt32LittleEndian(page[12..]);
        var cluster = BinaryPrimitives.ReadUInt64LittleEndian(page[16..]);
        if (node != expected.Node.Value || cluster != expected.Cluster)
        {
            throw new LogCorruptException(file, 12, "the file belongs to another node or cluster");
        }

        var header = new SegmentHeader(
            new LogIdentity(cluster, new NodeId(node)),
            BinaryPrimitives.ReadUInt64LittleEndian(page[24..]),
            BinaryPrimitives.ReadUInt64LittleEndian(page[32..]),
            BinaryPrimitives.ReadUInt64LittleEndian(page[40..]),
            BinaryPrimitives.ReadInt64LittleEndian(page[48..]));
        return header.Sequence == sequence ? header : throw new LogCorruptException(file, 24, $"the file carries number {header.Sequence}, which is not its name");
    }
}
