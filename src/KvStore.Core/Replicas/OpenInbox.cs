using KvStore.Core.Eventual;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>Hands each message of another replica's dotted engine to the part that it is for.</summary>
internal sealed class OpenInbox(
    OpenHealing healing,
    OpenReplication replication,
    OpenAcknowledgements acknowledgements,
    OpenReads reads,
    OpenFreshness freshness,
    DigestScrub scrub,
    MemoryRecovery? recovery)
{
    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        switch (kind)
        {
            case DottedMessageKind.Replicate when healing.IsClosing:
                // Whoever sent it has not heard of the closing yet. It keeps the write, and reports it; what a replica here has said to hold must not grow.
                break;
            case DottedMessageKind.Replicate:
                replication.Receive(from, ReplicateMessage.Decode(payload));
                break;
            case DottedMessageKind.ReplicateAcknowledged:
                acknowledgements.OnAcknowledged(from, ReplicateAcknowledged.Decode(payload));
                break;
            case DottedMessageKind.ReadRequest:
                reads.Answer(from, ReadRequest.Decode(payload));
                break;
            case DottedMessageKind.ReadResponse:
                reads.OnResponse(from, ReadResponse.Decode(payload));
                break;
            case DottedMessageKind.ClockAdvertised:
                ClockAdvertised advertised = ClockAdvertised.Decode(payload);
                acknowledgements.OnAdvertised(from, advertised);
                recovery?.OnAdvertised(from, advertised.Recovering);
                freshness.OnAdvertised(from, advertised);
                healing.OnAdvertised(from, advertised);
                break;
            case DottedMessageKind.ClockAsked:
                freshness.Answer(from, ClockAsked.Decode(payload));
                break;
            case DottedMessageKind.ClockTold:
                if (freshness.OnTold(from, ClockTold.Decode(payload)))
                {
                    healing.PullSoonFrom(from);
                }
                break;
            case DottedMessageKind.Digests when recovery is not null:
                break;
            case DottedMessageKind.Digests:
                scrub.Receive(from, DigestMessage.Decode(payload));
                break;
            default:
                healing.Receive(from, kind, payload);
                break;
        }
    }
}
