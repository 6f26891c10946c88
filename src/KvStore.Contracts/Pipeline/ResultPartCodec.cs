namespace KvStore.Contracts.Pipeline;

/// <summary>The bodies of kvstore.v1.Sibling, kvstore.v1.ScanItem and kvstore.v1.MissingReplica.</summary>
internal static class ResultPartCodec
{
    private const uint SiblingValueTag = 10;
    private const uint SiblingTimestampTag = 16;
    private const uint SiblingWriterTag = 25;
    private const uint SiblingWriteTag = 32;

    private const uint ItemKeyTag = 10;
    private const uint ItemValueTag = 18;
    private const uint ItemVersionTag = 26;
    private const uint ItemSiblingCountTag = 32;
    private const uint ItemExpiresInTag = 40;

    private const uint MissingNodeTag = 8;
    private const uint MissingForTag = 16;

    public static int Size(in WireSibling sibling) =>
        WireWriter.BytesFieldSize(1, sibling.Value.Length) + WireWriter.VarintFieldSize(1, sibling.TimestampMs)
        + (sibling.Writer == 0 ? 0 : 1 + sizeof(ulong)) + WireWriter.VarintFieldSize(1, sibling.Write);

    public static int Size(in WireScanItem item) =>
        WireWriter.BytesFieldSize(1, item.Key.Length)
        + WireWriter.BytesFieldSize(1, item.Value.Length)
        + WireWriter.BytesFieldSize(1, item.Version.Length)
        + WireWriter.VarintFieldSize(1, item.SiblingCount)
        + WireWriter.VarintFieldSize(1, item.ExpiresInMs);

    public static int Size(in WireMissingReplica missing) => WireWriter.VarintFieldSize(1, missing.Node) + WireWriter.VarintFieldSize(1, missing.ForMs);

    public static void Write(ref WireWriter writer, in WireMissingReplica missing)
    {
        writer.Varint(MissingNodeTag, missing.Node);
        writer.Varint(MissingForTag, missing.ForMs);
    }

    public static void Write(ref WireWriter writer, in WireSibling sibling)
    {
        writer.Bytes(SiblingValueTag, sibling.Value.Span);
        writer.Varint(SiblingTimestampTag, sibling.TimestampMs);
        writer.Fixed64(SiblingWriterTag, sibling.Writer);
        writer.Varint(SiblingWriteTag, sibling.Write);
    }

    public static void Write(ref WireWriter writer, in WireScanItem item)
    {
        writer.Bytes(ItemKeyTag, item.Key.Span);
        writer.Bytes(ItemValueTag, item.Value.Span);
        writer.Bytes(ItemVersionTag, item.Version.Span);
        writer.Varint(ItemSiblingCountTag, item.SiblingCount);
        writer.Varint(ItemExpiresInTag, item.ExpiresInMs);
    }

    public static WireSibling ReadSibling(ref WireReader outer)
    {
        ReadOnlyMemory<byte> value = default;
        ulong timestampMs = 0;
        ulong writer = 0;
        ulong write = 0;
        WireReader reader = new(outer.Bytes());
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case SiblingValueTag: value = reader.Bytes(); break;
                case SiblingTimestampTag: timestampMs = reader.Varint(); break;
                case SiblingWriterTag: writer = reader.Fixed64(); break;
                case SiblingWriteTag: write = reader.Varint(); break;
                default: reader.Skip(tag); break;
            }
        }

        if (reader.Malformed)
        {
            outer.Fail();
        }

        return new WireSibling(value, timestampMs, writer, write);
    }

    public static WireMissingReplica ReadMissing(ref WireReader outer)
    {
        uint node = 0;
        ulong forMs = 0;
        WireReader reader = new(outer.Bytes());
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case MissingNodeTag: node = reader.UInt32(); break;
                case MissingForTag: forMs = reader.Varint(); break;
                default: reader.Skip(tag); break;
            }
        }

        if (reader.Malformed)
        {
            outer.Fail();
        }

        return new WireMissingReplica(node, forMs);
    }

    public static WireScanItem ReadItem(ref WireReader outer)
    {
        ReadOnlyMemory<byte> key = default;
        ReadOnlyMemory<byte> value = default;
        ReadOnlyMemory<byte> version = default;
        uint siblingCount = 0;
        ulong expiresInMs = 0;
        WireReader reader = new(outer.Bytes());
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case ItemKeyTag: key = reader.Bytes(); break;
                case ItemValueTag: value = reader.Bytes(); break;
                case ItemVersionTag: version = reader.Bytes(); break;
                case ItemSiblingCountTag: siblingCount = reader.UInt32(); break;
                case ItemExpiresInTag: expiresInMs = reader.Varint(); break;
                default: reader.Skip(tag); break;
            }
        }

        if (reader.Malformed)
        {
            outer.Fail();
        }

        return new WireScanItem(key, value, version, siblingCount, expiresInMs);
    }
}
