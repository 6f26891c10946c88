using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Takes the writes of other replicas in, and tells them when those are durable here.</summary>
internal sealed class OpenReplication(
    ShardDescriptor descriptor,
    ReplicaOptions options,
    ReplicaClock clock,
    DottedReplica dotted,
    DottedJournal journal,
    IPeerTransport transport,
    RecordLoader loader,
    OpenHealing healing,
    OpenExpirer expirer,
    OpenAcknowledgements acknowledgements)
{
    private readonly Queue<(ulong Number, NodeId To, ulong Operation, ActorId Actor)> _due = new();
    private readonly ArrayBufferWriter<byte> _scratch = new(256);
    private bool _stopped;

    /// <summary>No acknowledgement waits for the disk.</summary>
    public bool IsIdle => _due.Count == 0;

    /// <summary>Nothing is taken any more, whatever still waits for the disk.</summary>
    public void Stop() => _stopped = true;

    public void Receive(NodeId from, ReplicateMessage message)
    {
        if (!journal.TryFind(message.Key.Span, out DottedObject stored))
        {
            LoadFirst(from, message);
            return;
        }

        if (healing.IsClosing || _stopped)
        {
            return;
        }

        DottedReceipt receipt = dotted.Receive(message, stored);
        acknowledgements.NoteWrittenElsewhere(message.Request, message.Dot);
        if (receipt.IsNew)
        {
            foreach (ref readonly DottedValue value in message.Object.Values)
            {
                clock.Hybrid.Observe(value.Timestamp, (long)clock.WallMs, options.MaxClockDriftMs);
            }

            journal.Persist(receipt.Change, message.WantsAcknowledgement ? SyncUrgency.Now : SyncUrgency.Lazy);
            expirer.OnWritten(receipt.Change, message.Dot);
        }

        if (!message.WantsAcknowledgement)
        {
            return;
        }

        if (receipt.AcknowledgeAfter <= journal.Durable)
        {
            SendAcknowledgement(from, message.Operation, message.Dot.Actor);
        }
        else
        {
            _due.Enqueue((receipt.AcknowledgeAfter, from, message.Operation, message.Dot.Actor));
        }
    }

    /// <summary>More of the log is durable.</summary>
    public void OnDurable()
    {
        while (_due.TryPeek(out (ulong Number, NodeId To, ulong Operation, ActorId Actor) next) && next.Number <= journal.Durable)
        {
            _due.Dequeue();
            SendAcknowledgement(next.To, next.Operation, next.Actor);
        }
    }

    /// <summary>On its own, because what a lambda captures is put on the heap at the beginning of its method: <see cref="Receive"/> would do so for every message.</summary>
    private void LoadFirst(NodeId from, ReplicateMessage message) => loader.Load(RecordSpace.Data, message.Key.Span, () => Receive(from, message));

    private void SendAcknowledgement(NodeId to, ulong operation, ActorId actor)
    {
        _scratch.ResetWrittenCount();
        dotted.Acknowledge(operation, actor).Encode(_scratch);
        transport.Send(descriptor.Shard, to, DottedMessageKind.ReplicateAcknowledged, _scratch.WrittenSpan);
    }
}
