using KvStore.Contracts.Pipeline;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Node.Peers;

namespace KvStore.Node.Loops;

/// <summary>
/// Reads frames of peers and hands each message to whom it is for, in the order of the frame. What is for another epoch, or for a shard that this loop doesn't have, is dropped. Messages of dotted engines in a row are
/// read first and handed over together, where that pays (<see cref="LookAhead"/>).
/// </summary>
internal sealed class FrameDispatch(LoopReplicas replicas, OutgoingForwards sent, IncomingForwards received)
{
    private readonly EntryScratch _entries = new();
    private readonly List<DottedMessage> _waiting = new(LookAhead.Keys);
    private readonly LookAhead _ahead = new();

    /// <summary>Bytes that can't be read end the stream on which they came, and nothing else: what was read before them stays.</summary>
    public void Handle(InboundFrame frame)
    {
        _waiting.Clear();
        string? fault = null;
        try
        {
            Read(frame);
        }
        catch (Exception malformed) when (malformed is MalformedFrameException or MalformedRecordException)
        {
            fault = malformed.Message;
        }

        try
        {
            HandOver(frame.From);
        }
        catch (MalformedRecordException malformed)
        {
            fault ??= malformed.Message;
        }

        if (fault is not null)
        {
            frame.ResetConnection(fault);
        }
    }

    private void Read(InboundFrame frame)
    {
        PeerFrameReader reader = new(frame.Bytes, _entries);
        while (reader.Read())
        {
            if (reader.Item == PeerFrameItem.Dotted)
            {
                if (Find(reader) is { } receiver)
                {
                    Take(frame.From, new DottedMessage(receiver, reader.DottedKind, reader.DottedPayload));
                }

                continue;
            }

            HandOver(frame.From);
            if (reader.Item == PeerFrameItem.Operation)
            {
                received.Handle(frame.From, reader.ForwardId, reader.Operation);
            }
            else if (reader.Item == PeerFrameItem.Result)
            {
                sent.OnResult(reader.ForwardId, reader.Result);
            }
            else if (Find(reader) is { } slot)
            {
                replicas.Receive(frame.From, slot, reader);
            }
        }
    }

    private ReplicaSlot? Find(in PeerFrameReader reader) =>
        replicas.Find(reader.Shard) is { } slot && reader.Epoch == slot.Replica.Descriptor.Epoch.Value ? slot : null;

    private void Take(NodeId from, in DottedMessage message)
    {
        if (_waiting.Count == 0 && !(replicas.WarmPays && message.Slot.Replica.WarmPays))
        {
            replicas.Receive(from, message.Slot, message.Kind, message.Payload);
            return;
        }

        _waiting.Add(message);
        if (_waiting.Count == LookAhead.Keys)
        {
            HandOver(from);
        }
    }

    private void HandOver(NodeId from)
    {
        try
        {
            foreach (DottedMessage message in _waiting)
            {
                if (message.Slot.Replica.LooksUp(message.Kind, message.Payload, out int keyHash))
                {
                    _ahead.Add(message.Slot.Replica, keyHash);
                }
            }

            _ahead.Run();
            foreach (DottedMessage message in _waiting)
            {
                replicas.Receive(from, message.Slot, message.Kind, message.Payload);
            }
        }
        finally
        {
            // One that can't be read ends the frame: what stood behind it is not for anybody.
            _waiting.Clear();
        }
    }

    private readonly record struct DottedMessage(ReplicaSlot Slot, DottedMessageKind Kind, ReadOnlyMemory<byte> Payload);
}
