using KvStore.Core.Eventual;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>Makes what this replica mints durable, and sends it to the others.</summary>
internal sealed class OpenPublisher(ShardId shard, ReplicaPlaces places, IPeerTransport transport, DottedJournal journal)
{
    /// <summary>
    /// Writes with a counter in them leave when they are durable here. So nobody ever knows a total of this replica that it may have forgotten in a crash, and its next life may carry over what it finds.
    /// </summary>
    private readonly Queue<(ulong Number, byte[] Message)> _held = new();

    public void Publish(in DottedWrite written, SyncUrgency urgency)
    {
        journal.Persist(written.Change, urgency);
        if (written.Written.HasCounter)
        {
            _held.Enqueue((written.Change.Number, written.Replicate.ToArray()));
        }
        else
        {
            Send(written.Replicate.Span);
        }
    }

    public void OnDurable()
    {
        while (_held.TryPeek(out (ulong Number, byte[] Message) next) && next.Number <= journal.Durable)
        {
            _held.Dequeue();
            Send(next.Message);
        }
    }

    private void Send(ReadOnlySpan<byte> message)
    {
        foreach (NodeId peer in places.Peers)
        {
            transport.Send(shard, peer, DottedMessageKind.Replicate, message);
        }
    }
}
