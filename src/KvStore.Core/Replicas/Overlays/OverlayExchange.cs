using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// Passes overlay records between the replicas that can reach one another: each new one at once, and what a message lost with the next round of <see cref="DottedMessageKind.OverlayKnown"/>. Only dots of
/// replica actors travel, in records with frozen contexts: nobody learns from another's overlay how far the log is.
/// </summary>
internal sealed class OverlayExchange(
    ShardDescriptor descriptor,
    ReplicaPlaces places,
    ReplicaClock clock,
    Overlay overlay,
    PeerReachability peers,
    IPeerTransport transport)
{
    /// <summary>Bytes of records in one answer to <see cref="DottedMessageKind.OverlayKnown"/>; the next round brings more.</summary>
    private const int PageBytes = 256 * 1024;

    private const int TicksBetweenRounds = 20;

    private readonly Queue<(ulong Number, NodeId To, ulong Operation)> _acknowledgements = new();
    private readonly ArrayBufferWriter<byte> _message = new(1024);
    private int _ticks;

    /// <summary>An acknowledgement of another's records waits for the log.</summary>
    public bool IsIdle => _acknowledgements.Count == 0;

    /// <summary>Sends one record to every replica that can be reached, or to those that have not got it yet.</summary>
    /// <param name="operation">Zero: no acknowledgement is wanted.</param>
    /// <param name="heldBy">Who has it already, by the bits of <see cref="ReplicaPlaces.BitOf"/>.</param>
    public void Share(Key key, ulong operation, ulong heldBy)
    {
        _message.ResetWrittenCount();
        OverlayShare.Encode(_message, operation, [overlay.BytesOf(key)]);
        for (int i = 0; i < places.Peers.Length; i++)
        {
            if ((heldBy & ReplicaPlaces.BitOf(i)) == 0 && peers.IsReachable(places.Peers[i]))
            {
                transport.Send(descriptor.Shard, places.Peers[i], DottedMessageKind.OverlayShare, _message.WrittenSpan);
            }
        }
    }

    public void Receive(NodeId from, in OverlayShare share)
    {
        bool taken = true;
        ulong number = 0;
        foreach (OverlayRecord record in share.Records)
        {
            if (overlay.Covers(record))
            {
                // Perhaps not durable yet: everything up to the last number counts.
                number = Math.Max(number, overlay.LastNumber);
                continue;
            }

            if (overlay.IsFullFor(record.PayloadBytes))
            {
                taken = false;
                continue;
            }

            foreach (ref readonly DottedValue value in record.Object.Values)
            {
                const long MaxDriftMs = 60_000;
                clock.Hybrid.Observe(value.Timestamp, (long)clock.WallMs, MaxDriftMs);
            }

            number = overlay.Add(record, share.Operation != 0 ? SyncUrgency.Now : SyncUrgency.Lazy);
        }

        if (share.Operation == 0)
        {
            return;
        }

        if (!taken || number <= overlay.Durable)
        {
            Acknowledge(from, share.Operation, taken);
        }
        else
        {
            _acknowledgements.Enqueue((number, from, share.Operation));
        }
    }

    /// <summary>Another replica says what it has: it gets what it lacks.</summary>
    public void OnKnown(NodeId from, ReadOnlyMemory<byte> payload)
    {
        BinaryCursor input = new(payload);
        ShardClock known = ShardClock.Decode(ref input);
        input.ExpectEnd();
        List<ReadOnlyMemory<byte>> missing = overlay.MissingFrom(known, PageBytes);
        if (missing.Count > 0)
        {
            _message.ResetWrittenCount();
            OverlayShare.Encode(_message, 0, missing);
            transport.Send(descriptor.Shard, from, DottedMessageKind.OverlayShare, _message.WrittenSpan);
        }
    }

    public void OnDurable()
    {
        while (_acknowledgements.TryPeek(out (ulong Number, NodeId To, ulong Operation) next) && next.Number <= overlay.Durable)
        {
            _acknowledgements.Dequeue();
            Acknowledge(next.To, next.Operation, taken: true);
        }
    }

    /// <summary>While this replica serves provisionally: says now and then what it has.</summary>
    public void OnTick()
    {
        if (++_ticks % TicksBetweenRounds != 0)
        {
            return;
        }

        _message.ResetWrittenCount();
        overlay.Known().Encode(_message);
        foreach (NodeId peer in places.Peers)
        {
            if (peers.IsReachable(peer))
            {
                transport.Send(descriptor.Shard, peer, DottedMessageKind.OverlayKnown, _message.WrittenSpan);
            }
        }
    }

    private void Acknowledge(NodeId to, ulong operation, bool taken)
    {
        _message.ResetWrittenCount();
        new OverlayShared(operation, taken).Encode(_message);
        transport.Send(descriptor.Shard, to, DottedMessageKind.OverlayShared, _message.WrittenSpan);
    }
}
