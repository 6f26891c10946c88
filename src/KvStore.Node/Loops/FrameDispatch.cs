using KvStore.Contracts.Pipeline;
using KvStore.Core.Versioning;
using KvStore.Node.Peers;

namespace KvStore.Node.Loops;

/// <summary>Reads frames of peers and hands each message to whom it is for. What is for another epoch, or for a shard that this loop doesn't have, is dropped.</summary>
internal sealed class FrameDispatch(LoopReplicas replicas, OutgoingForwards sent, IncomingForwards received)
{
    private readonly EntryScratch _entries = new();

    /// <summary>Bytes that can't be read end the stream on which they came, and nothing else: what was read before them stays.</summary>
    public void Handle(InboundFrame frame)
    {
        try
        {
            PeerFrameReader reader = new(frame.Bytes, _entries);
            while (reader.Read())
            {
                if (reader.Item == PeerFrameItem.Operation)
                {
                    received.Handle(frame.From, reader.ForwardId, reader.Operation);
                }
                else if (reader.Item == PeerFrameItem.Result)
                {
                    sent.OnResult(reader.ForwardId, reader.Result);
                }
                else if (replicas.Find(reader.Shard) is { } slot && reader.Epoch == slot.Replica.Descriptor.Epoch.Value)
                {
                    replicas.Receive(frame.From, slot, reader);
                }
            }
        }
        catch (Exception malformed) when (malformed is MalformedFrameException or MalformedRecordException)
        {
            frame.ResetConnection(malformed.Message);
        }
    }
}
