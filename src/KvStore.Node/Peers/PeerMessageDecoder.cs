using KvStore.Contracts.Pipeline;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Peers;

/// <summary>The bodies of a ShardMessage, from bytes that nobody has checked yet: everything a Core type would refuse is refused here.</summary>
internal static class PeerMessageDecoder
{
    /// <summary>What <see cref="ShardId.FromPacked"/> takes.</summary>
    public const ulong MaxPackedShard = 0xFFFF_FFFF_FFFF;

    public static void ReadRaft(ReadOnlyMemory<byte> body, EntryScratch entries, out RaftMessage message)
    {
        WireReader reader = new(body);
        message = default;
        entries.Clear();
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case 8:
                    message.Kind = (RaftMessageKind)Byte(reader.Varint());
                    break;
                case 16:
                    message.From = new ReplicaId(reader.Varint());
                    break;
                case 24:
                    message.To = new ReplicaId(reader.Varint());
                    break;
                case 32:
                    message.Term = new Term(reader.Varint());
                    break;
                case 40:
                    message.Index = new LogIndex(reader.Varint());
                    break;
                case 48:
                    message.LogTerm = new Term(reader.Varint());
                    break;
                case 56:
                    message.Commit = new LogIndex(reader.Varint());
                    break;
                case 64:
                    message.Reject = reader.Bool();
                    break;
                case 72:
                    message.Hint = new LogIndex(reader.Varint());
                    break;
                case 80:
                    message.Round = reader.Varint();
                    break;
                case 90:
                    entries.Add(ReadEntry(reader.Bytes()));
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        Check(reader.Malformed, "a Raft message");
        message.Entries = entries.Items.AsMemory(0, entries.Count);
    }

    public static (DottedMessageKind Kind, ReadOnlyMemory<byte> Payload) ReadDotted(ReadOnlyMemory<byte> body)
    {
        WireReader reader = new(body);
        DottedMessageKind kind = DottedMessageKind.None;
        ReadOnlyMemory<byte> payload = default;
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case 8:
                    kind = (DottedMessageKind)Byte(reader.Varint());
                    break;
                case 18:
                    payload = reader.Bytes();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        Check(reader.Malformed, "a dotted message");
        return (kind, payload);
    }

    public static SnapshotPage ReadSnapshot(ReadOnlyMemory<byte> body)
    {
        WireReader reader = new(body);
        List<ScannedRecord> records = [];
        ReplicaId from = default, to = default;
        Term term = default, appliedTerm = default;
        LogIndex applied = default;
        ulong id = 0, number = 0, dotted = 0;
        bool last = false;
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case 8:
                    from = new ReplicaId(reader.Varint());
                    break;
                case 16:
                    to = new ReplicaId(reader.Varint());
                    break;
                case 24:
                    term = new Term(reader.Varint());
                    break;
                case 32:
                    id = reader.Varint();
                    break;
                case 40:
                    number = reader.Varint();
                    break;
                case 48:
                    last = reader.Bool();
                    break;
                case 56:
                    applied = new LogIndex(reader.Varint());
                    break;
                case 64:
                    appliedTerm = new Term(reader.Varint());
                    break;
                case 72:
                    dotted = reader.Varint();
                    break;
                case 82:
                    records.Add(ReadRecord(reader.Bytes()));
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        Check(reader.Malformed || number > int.MaxValue, "a snapshot page");
        return new SnapshotPage
        {
            From = from,
            To = to,
            Term = term,
            SnapshotId = id,
            Number = (int)number,
            Last = last,
            Position = new ViewPosition(applied, appliedTerm, dotted),
            Records = records,
        };
    }

    private static Entry ReadEntry(ReadOnlyMemory<byte> body)
    {
        WireReader reader = new(body);
        ulong term = 0, index = 0;
        EntryKind kind = EntryKind.Empty;
        ReadOnlyMemory<byte> payload = default;
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case 8:
                    term = reader.Varint();
                    break;
                case 16:
                    index = reader.Varint();
                    break;
                case 24:
                    kind = (EntryKind)Byte(reader.Varint());
                    break;
                case 34:
                    payload = reader.Bytes();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        Check(reader.Malformed, "an entry");
        return new Entry(new Term(term), new LogIndex(index), kind, payload);
    }

    private static ScannedRecord ReadRecord(ReadOnlyMemory<byte> body)
    {
        WireReader reader = new(body);
        RecordSpace space = default;
        ReadOnlyMemory<byte> key = default, record = default;
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case 8:
                    space = (RecordSpace)Byte(reader.Varint());
                    break;
                case 18:
                    key = reader.Bytes();
                    break;
                case 26:
                    record = reader.Bytes();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        Check(reader.Malformed, "a record of a snapshot page");
        return new ScannedRecord(space, key, record);
    }

    /// <summary>Kinds are bytes in Core. A larger number would wrap to a kind that wasn't meant.</summary>
    private static byte Byte(ulong value)
    {
        Check(value > byte.MaxValue, "a kind");
        return (byte)value;
    }

    private static void Check(bool malformed, string what)
    {
        if (malformed)
        {
            throw new MalformedFrameException($"In a frame of a peer, {what} is malformed.");
        }
    }
}
