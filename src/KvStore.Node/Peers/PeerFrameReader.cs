using KvStore.Contracts.Pipeline;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Peers;

/// <summary>What stands at the current place of a <see cref="PeerFrameReader"/>.</summary>
public enum PeerFrameItem : byte
{
    None = 0,
    Raft = 1,
    Dotted = 2,
    Snapshot = 3,
    Operation = 4,
    Result = 5,
}

/// <summary>Entries decoded from append messages. One per reader's thread, used again and again; it grows to the largest message seen.</summary>
public sealed class EntryScratch
{
    internal Entry[] Items { get; private set; } = new Entry[64];

    internal int Count { get; private set; }

    internal void Clear() => Count = 0;

    internal void Add(in Entry entry)
    {
        if (Count == Items.Length)
        {
            Entry[] larger = new Entry[Count * 2];
            Items.CopyTo(larger, 0);
            Items = larger;
        }

        Items[Count++] = entry;
    }
}

/// <summary>
/// Walks over a received frame, message by message, in place. Payloads slice the frame and may be kept; the entries of a Raft message live in the scratch until the next <see cref="Read"/>.
/// </summary>
/// <example><code>
/// PeerFrameReader reader = new(frame.Bytes, scratch);
/// while (reader.Read()) { switch (reader.Item) { case PeerFrameItem.Raft: Step(reader.Shard, reader.Raft); break; ... } }
/// </code></example>
public ref struct PeerFrameReader
{
    private readonly EntryScratch _entries;
    private WireReader _frame;
    private RaftMessage _raft;
    private WireOperation _operation;
    private WireResult _result;

    public PeerFrameReader(ReadOnlyMemory<byte> frame, EntryScratch entries)
    {
        _frame = new WireReader(frame);
        _entries = entries;
    }

    public PeerFrameItem Item { get; private set; }

    /// <summary>Raft, dotted, snapshot: the shard it is for.</summary>
    public ShardId Shard { get; private set; }

    /// <summary>Raft, dotted, snapshot: the sender's epoch; zero when it stated none.</summary>
    public ulong Epoch { get; private set; }

    public readonly RaftMessage Raft => _raft;

    public DottedMessageKind DottedKind { get; private set; }

    public ReadOnlyMemory<byte> DottedPayload { get; private set; }

    public SnapshotPage Snapshot { get; private set; }

    /// <summary>Operation, result: chosen by the node that forwarded.</summary>
    public ulong ForwardId { get; private set; }

    public readonly WireOperation Operation => _operation;

    public readonly WireResult Result => _result;

    /// <summary>Moves to the next message; false at the end of the frame.</summary>
    /// <exception cref="MalformedFrameException">The bytes are not a PeerFrame. What was read before stands; the connection should be reset.</exception>
    public bool Read()
    {
        while (_frame.NextTag(out uint tag))
        {
            switch (tag)
            {
                case PeerFrameTags.Message:
                    ReadMessage(_frame.Bytes());
                    break;
                case PeerFrameTags.Operation:
                    ReadOperation(_frame.Bytes());
                    break;
                case PeerFrameTags.Result:
                    ReadResult(_frame.Bytes());
                    break;
                default:
                    _frame.Skip(tag);
                    continue;
            }

            Check(_frame);
            if (Item != PeerFrameItem.None)
            {
                return true;
            }
        }

        Check(_frame);
        Item = PeerFrameItem.None;
        return false;
    }

    private static void Check(in WireReader reader)
    {
        if (reader.Malformed)
        {
            throw new MalformedFrameException("A frame of a peer is malformed.");
        }
    }

    private void ReadMessage(ReadOnlyMemory<byte> body)
    {
        WireReader reader = new(body);
        ulong shard = 0;
        Epoch = 0;
        Item = PeerFrameItem.None;
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case PeerFrameTags.Shard:
                    shard = reader.Varint();
                    break;
                case PeerFrameTags.Epoch:
                    Epoch = reader.Varint();
                    break;
                case PeerFrameTags.Raft:
                    PeerMessageDecoder.ReadRaft(reader.Bytes(), _entries, out _raft);
                    Item = PeerFrameItem.Raft;
                    break;
                case PeerFrameTags.Dotted:
                    (DottedKind, DottedPayload) = PeerMessageDecoder.ReadDotted(reader.Bytes());
                    Item = PeerFrameItem.Dotted;
                    break;
                case PeerFrameTags.Snapshot:
                    Snapshot = PeerMessageDecoder.ReadSnapshot(reader.Bytes());
                    Item = PeerFrameItem.Snapshot;
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        Check(reader);
        if (shard > PeerMessageDecoder.MaxPackedShard)
        {
            throw new MalformedFrameException("A message of a peer names a shard out of range.");
        }

        Shard = ShardId.FromPacked(shard);
    }

    private void ReadOperation(ReadOnlyMemory<byte> message)
    {
        ReadOnlyMemory<byte> body = ReadForwarded(message);
        if (!PipelineCodec.TryReadOperation(body, out _operation))
        {
            throw new MalformedFrameException("A forwarded operation is malformed.");
        }

        Item = PeerFrameItem.Operation;
    }

    private void ReadResult(ReadOnlyMemory<byte> message)
    {
        ReadOnlyMemory<byte> body = ReadForwarded(message);
        if (!PipelineCodec.TryReadResult(body, out _result))
        {
            throw new MalformedFrameException("A forwarded result is malformed.");
        }

        Item = PeerFrameItem.Result;
    }

    private ReadOnlyMemory<byte> ReadForwarded(ReadOnlyMemory<byte> message)
    {
        WireReader reader = new(message);
        ReadOnlyMemory<byte> body = default;
        ForwardId = 0;
        while (reader.NextTag(out uint tag))
        {
            switch (tag)
            {
                case PeerFrameTags.ForwardId:
                    ForwardId = reader.Varint();
                    break;
                case PeerFrameTags.ForwardBody:
                    body = reader.Bytes();
                    break;
                default:
                    reader.Skip(tag);
                    break;
            }
        }

        Check(reader);
        return body;
    }
}
