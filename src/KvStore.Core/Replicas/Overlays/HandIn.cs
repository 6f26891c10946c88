using System.Buffers;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// Brings this replica's overlay into the log: sends it to the leader batch by batch, one on its way at a time, and takes in the batches of others where this replica leads. What has become of a batch is
/// seen from the log alone: it is done when its records have left the overlay, and sent again, perhaps to another leader, if that takes too long. Repeats are harmless.
/// </summary>
internal sealed class HandIn(ShardDescriptor descriptor, RegimeState regimes, ReplicaOptions options, ReplicaClock clock, Overlay overlay, AccountedDots accounted, IPeerTransport transport)
{
    /// <summary>Records of one batch. Applying one takes a few microseconds, so a batch never holds the log up for long.</summary>
    private const int MaxBatchRecords = 128;

    /// <summary>Bytes of one batch, give or take the last record: it must fit into one append message.</summary>
    private const int MaxBatchBytes = 128 * 1024;

    private readonly ArrayBufferWriter<byte> _body = new(1024);
    private readonly List<ReadOnlyMemory<byte>> _batch = [];
    private readonly List<OverlayRecord> _sent = [];
    private bool _waits;
    private long _sentMs;
    private ulong _changes;

    /// <summary>A batch is on its way, or one should be as soon as there is a leader.</summary>
    public bool HasWork => !overlay.IsEmpty;

    /// <summary>Goes on with the hand-in. To be called on every tick, and when a merge was applied.</summary>
    /// <param name="leader">The node that leads, which may be this one; none: nobody is known to.</param>
    /// <param name="propose">Proposes an entry where this replica leads; it may be refused.</param>
    public void Drive(NodeId leader, Func<ReadOnlyMemory<byte>, bool> propose)
    {
        if (overlay.IsEmpty || leader.IsNone || IsUnderWay())
        {
            return;
        }

        byte kind = Gather();
        _waits = true;
        _sentMs = clock.NowMs;
        _changes = overlay.Changes;
        if (leader == descriptor.Self.Node)
        {
            Propose(kind, _body.WrittenMemory, propose);
        }
        else
        {
            transport.Send(descriptor.Shard, leader, kind == MergeCommand.MergeKind ? DottedMessageKind.HandIn : DottedMessageKind.HandInDone, _body.WrittenSpan);
        }
    }

    /// <summary>Another replica hands something in. Where this one doesn't lead it is dropped like a lost message.</summary>
    public void OnHandedIn(DottedMessageKind kind, ReadOnlyMemory<byte> body, Func<ReadOnlyMemory<byte>, bool> propose)
    {
        if (kind == DottedMessageKind.HandIn)
        {
            Propose(MergeCommand.MergeKind, body, propose);
        }
        else if (MergeCommand.DecodeDone(body).Any(last => accounted.Clock.BaseOf(last.Actor) < last.Counter))
        {
            Propose(MergeCommand.DoneKind, body, propose);
        }
    }

    /// <summary>Nothing that was sent is waited for any more: the leadership moved.</summary>
    public void OnLeaderChanged() => _waits = false;

    /// <summary>An entry for each key, so that each is applied as a whole even where its record must come from the disk first.</summary>
    private void Propose(byte kind, ReadOnlyMemory<byte> body, Func<ReadOnlyMemory<byte>, bool> propose)
    {
        ulong timestamp = clock.Hybrid.Now((long)clock.WallMs).Packed;
        if (kind == MergeCommand.DoneKind)
        {
            propose(MergeCommand.Compose(kind, body.Span, timestamp, regimes.Epoch));
            return;
        }

        foreach (ReadOnlyMemory<byte> encoded in MergeCommand.SplitRecords(body))
        {
            // What is merged already, its holder has not applied yet.
            if (OverlayRecord.Decode(encoded).IsNewTo(accounted.Clock) && !propose(MergeCommand.Compose(kind, encoded.Span, timestamp, regimes.Epoch)))
            {
                return;
            }
        }
    }

    private bool IsUnderWay()
    {
        if (!_waits || clock.NowMs - _sentMs >= (long)options.HandInTicks * options.TickMs)
        {
            return false;
        }

        // While the last batch is not merged. A merge-done has no records: any change ends the wait.
        return _sent.Count == 0 ? overlay.Changes == _changes : _sent.Exists(record => record.IsNewTo(accounted.Clock));
    }

    private byte Gather()
    {
        _body.ResetWrittenCount();
        _batch.Clear();
        _sent.Clear();
        int bytes = 0;
        foreach (OverlayRecord record in overlay.From(null))
        {
            if (_batch.Count > 0 && (_batch.Count >= MaxBatchRecords || bytes >= MaxBatchBytes))
            {
                break;
            }

            ReadOnlyMemory<byte> encoded = overlay.BytesOf(record.Key);
            _batch.Add(encoded);
            _sent.Add(record);
            bytes += encoded.Length;
        }

        if (_batch.Count == 0)
        {
            MergeCommand.EncodeDone(_body, overlay.Rest);
            return MergeCommand.DoneKind;
        }

        MergeCommand.EncodeRecords(_body, _batch);
        return MergeCommand.MergeKind;
    }
}
