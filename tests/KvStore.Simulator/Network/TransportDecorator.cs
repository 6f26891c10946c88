using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Simulator.Network;

/// <summary>Hands everything on to another transport: the base of those that spoil what is sent.</summary>
internal abstract class TransportDecorator(IPeerTransport inner) : IPeerTransport
{
    public virtual void Send(ShardId shard, NodeId to, in RaftMessage message) => inner.Send(shard, to, message);

    public virtual void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload) => inner.Send(shard, to, kind, payload);

    public virtual void Send(ShardId shard, NodeId to, in SnapshotPage page) => inner.Send(shard, to, page);
}
