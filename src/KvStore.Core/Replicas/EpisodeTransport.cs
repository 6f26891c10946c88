using System.Buffers;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Carries the dotted messages of one open period. Those of the founding one go as they are, so a shard that never changed its regime pays nothing; those of a later one are wrapped together with the
/// episode they belong to, and nobody hears them in another.
/// </summary>
internal sealed class EpisodeTransport(IPeerTransport transport) : IPeerTransport
{
    private readonly ArrayBufferWriter<byte> _message = new(1_024);

    /// <summary>Zero: the founding one.</summary>
    public LogIndex Episode { get; set; }

    public void Send(ShardId shard, NodeId to, in RaftMessage message) => transport.Send(shard, to, message);

    public void Send(ShardId shard, NodeId to, in SnapshotPage page) => transport.Send(shard, to, page);

    public void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload)
    {
        if (Episode == LogIndex.Zero)
        {
            transport.Send(shard, to, kind, payload);
            return;
        }

        _message.ResetWrittenCount();
        VarInt.Write(_message, Episode.Value);
        VarInt.WriteByte(_message, (byte)kind);
        _message.Write(payload);
        transport.Send(shard, to, kind == DottedMessageKind.PullPage ? DottedMessageKind.EpisodePage : DottedMessageKind.EpisodeMessage, _message.WrittenSpan);
    }

    /// <summary>Takes the wrapping off. False: the message belongs to another episode.</summary>
    /// <exception cref="MalformedRecordException">The bytes are no wrapped message.</exception>
    public bool TryUnwrap(ref DottedMessageKind kind, ref ReadOnlyMemory<byte> payload)
    {
        LogIndex episode = LogIndex.Zero;
        if (kind is DottedMessageKind.EpisodeMessage or DottedMessageKind.EpisodePage)
        {
            BinaryCursor input = new(payload);
            episode = new LogIndex(input.ReadVarInt());
            kind = (DottedMessageKind)input.ReadByte();
            payload = input.ReadRest();
        }

        return episode == Episode;
    }
}
