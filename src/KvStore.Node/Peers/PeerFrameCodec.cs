using KvStore.Contracts.Pipeline;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Peers;

/// <summary>
/// Appends messages to a kvstore.v1.PeerFrame under construction: the bytes that generated code would write, without its objects. Sizes are computed first, so every message is written once, in place.
/// Reading is <see cref="PeerFrameReader"/>'s.
/// </summary>
internal static class PeerFrameCodec
{
    /// <summary>Appends one message of a Raft group; false (and nothing written) when it is longer than a frame may be.</summary>
    public static bool TryAppend(OutboundBuffer buffer, ShardId shard, ulong epoch, in RaftMessage message)
    {
        long body = RaftSize(message);
        if (!TryBegin(buffer, shard, epoch, PeerFrameTags.Raft, body, out WireWriter writer))
        {
            return false;
        }

        writer.Varint(8, (ulong)message.Kind);
        writer.Varint(16, message.From.Value);
        writer.Varint(24, message.To.Value);
        writer.Varint(32, message.Term.Value);
        writer.Varint(40, message.Index.Value);
        writer.Varint(48, message.LogTerm.Value);
        writer.Varint(56, message.Commit.Value);
        writer.Varint(64, message.Reject ? 1u : 0u);
        writer.Varint(72, message.Hint.Value);
        writer.Varint(80, message.Round);
        foreach (ref readonly Entry entry in message.Entries.Span)
        {
            writer.ElementHead(90, EntrySize(entry));
            writer.Varint(8, entry.Term.Value);
            writer.Varint(16, entry.Index.Value);
            writer.Varint(24, (ulong)entry.Kind);
            writer.Bytes(34, entry.Payload.Span);
        }

        return true;
    }

    /// <summary>Appends one message of the dotted engine; false when it is longer than a frame may be.</summary>
    public static bool TryAppend(OutboundBuffer buffer, ShardId shard, ulong epoch, DottedMessageKind kind, ReadOnlySpan<byte> payload)
    {
        long body = WireWriter.VarintFieldSize(1, (ulong)kind) + (long)WireWriter.BytesFieldSize(1, payload.Length);
        if (!TryBegin(buffer, shard, epoch, PeerFrameTags.Dotted, body, out WireWriter writer))
        {
            return false;
        }

        writer.Varint(8, (ulong)kind);
        writer.Bytes(18, payload);
        return true;
    }

    /// <summary>Appends one page of a snapshot; false when it is longer than a frame may be.</summary>
    public static bool TryAppend(OutboundBuffer buffer, ShardId shard, ulong epoch, in SnapshotPage page)
    {
        long body = SnapshotSize(page);
        if (!TryBegin(buffer, shard, epoch, PeerFrameTags.Snapshot, body, out WireWriter writer))
        {
            return false;
        }

        writer.Varint(8, page.From.Value);
        writer.Varint(16, page.To.Value);
        writer.Varint(24, page.Term.Value);
        writer.Varint(32, page.SnapshotId);
        writer.Varint(40, (uint)page.Number);
        writer.Varint(48, page.Last ? 1u : 0u);
        writer.Varint(56, page.Position.Applied.Value);
        writer.Varint(64, page.Position.AppliedTerm.Value);
        writer.Varint(72, page.Position.Dotted);
        for (int i = 0; i < page.Records.Count; i++)
        {
            ScannedRecord record = page.Records[i];
            writer.ElementHead(82, RecordSize(record));
            writer.Varint(8, (ulong)record.Space);
            writer.Bytes(18, record.Key.Span);
            writer.Bytes(26, record.Record.Span);
        }

        return true;
    }

    /// <summary>Appends an operation for another node; false when it is longer than a frame may be.</summary>
    public static bool TryAppend(OutboundBuffer buffer, ulong forwardId, in WireOperation operation)
    {
        int body = PipelineCodec.OperationSize(operation);
        if (!TryBegin(buffer, PeerFrameTags.Operation, forwardId, body, out Span<byte> room))
        {
            return false;
        }

        PipelineCodec.WriteOperationBody(room, operation);
        return true;
    }

    /// <summary>Appends the answer to a forwarded operation; false when it is longer than a frame may be.</summary>
    public static bool TryAppend(OutboundBuffer buffer, ulong forwardId, in WireResult result)
    {
        int body = PipelineCodec.ResultSize(result);
        if (!TryBegin(buffer, PeerFrameTags.Result, forwardId, body, out Span<byte> room))
        {
            return false;
        }

        PipelineCodec.WriteResultBody(room, result);
        return true;
    }

    /// <summary>Opens a ForwardedOperation or ForwardedResult, which look alike: the id, then the embedded message.</summary>
    private static bool TryBegin(OutboundBuffer buffer, uint tag, ulong forwardId, int body, out Span<byte> room)
    {
        long message = WireWriter.VarintFieldSize(1, forwardId) + (long)WireWriter.ElementSize(1, body);
        if (message > PeerMeshOptions.MaxMessageBytes - PeerFrameTags.MaxHeadBytes)
        {
            room = default;
            return false;
        }

        Span<byte> whole = buffer.Take(WireWriter.ElementSize(1, (int)message));
        WireWriter writer = new(whole);
        writer.ElementHead(tag, (int)message);
        writer.Varint(PeerFrameTags.ForwardId, forwardId);
        writer.ElementHead(PeerFrameTags.ForwardBody, body);
        room = whole[writer.Written..];
        return true;
    }

    /// <summary>Opens an entry of PeerFrame.messages, writes shard and epoch, and opens the embedded message.</summary>
    private static bool TryBegin(OutboundBuffer buffer, ShardId shard, ulong epoch, uint tag, long body, out WireWriter writer)
    {
        if (body > PeerMeshOptions.MaxMessageBytes - PeerFrameTags.MaxHeadBytes)
        {
            writer = default;
            return false;
        }

        int message = WireWriter.VarintFieldSize(1, shard.Packed) + WireWriter.VarintFieldSize(1, epoch) + WireWriter.ElementSize(1, (int)body);
        int total = WireWriter.ElementSize(1, message);
        writer = new WireWriter(buffer.Take(total));
        writer.ElementHead(PeerFrameTags.Message, message);
        writer.Varint(8, shard.Packed);
        writer.Varint(16, epoch);
        writer.ElementHead(tag, (int)body);
        return true;
    }

    private static long RaftSize(in RaftMessage message)
    {
        long size = WireWriter.VarintFieldSize(1, (ulong)message.Kind)
            + WireWriter.VarintFieldSize(1, message.From.Value)
            + WireWriter.VarintFieldSize(1, message.To.Value)
            + WireWriter.VarintFieldSize(1, message.Term.Value)
            + WireWriter.VarintFieldSize(1, message.Index.Value)
            + WireWriter.VarintFieldSize(1, message.LogTerm.Value)
            + WireWriter.VarintFieldSize(1, message.Commit.Value)
            + WireWriter.VarintFieldSize(1, message.Reject ? 1u : 0u)
            + WireWriter.VarintFieldSize(1, message.Hint.Value)
            + WireWriter.VarintFieldSize(1, message.Round);
        foreach (ref readonly Entry entry in message.Entries.Span)
        {
            size += WireWriter.ElementSize(1, EntrySize(entry));
        }

        return size;
    }

    private static int EntrySize(in Entry entry) => WireWriter.VarintFieldSize(1, entry.Term.Value)
        + WireWriter.VarintFieldSize(1, entry.Index.Value)
        + WireWriter.VarintFieldSize(1, (ulong)entry.Kind)
        + WireWriter.BytesFieldSize(1, entry.Payload.Length);

    private static long SnapshotSize(in SnapshotPage page)
    {
        long size = WireWriter.VarintFieldSize(1, page.From.Value)
            + WireWriter.VarintFieldSize(1, page.To.Value)
            + WireWriter.VarintFieldSize(1, page.Term.Value)
            + WireWriter.VarintFieldSize(1, page.SnapshotId)
            + WireWriter.VarintFieldSize(1, (uint)page.Number)
            + WireWriter.VarintFieldSize(1, page.Last ? 1u : 0u)
            + WireWriter.VarintFieldSize(1, page.Position.Applied.Value)
            + WireWriter.VarintFieldSize(1, page.Position.AppliedTerm.Value)
            + WireWriter.VarintFieldSize(1, page.Position.Dotted);
        for (int i = 0; i < page.Records.Count; i++)
        {
            size += WireWriter.ElementSize(1, RecordSize(page.Records[i]));
        }

        return size;
    }

    private static int RecordSize(in ScannedRecord record) => WireWriter.VarintFieldSize(1, (ulong)record.Space)
        + WireWriter.BytesFieldSize(1, record.Key.Length)
        + WireWriter.BytesFieldSize(1, record.Record.Length);
}
