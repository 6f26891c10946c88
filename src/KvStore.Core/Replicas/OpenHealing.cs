using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Heals an open shard: replicas tell each other what they durably have, and who lacks something pulls it page by page; a new or recovering replica copies everything. One pull at a time.
/// </summary>
internal sealed class OpenHealing(
    ShardDescriptor descriptor,
    ReplicaPlaces places,
    ReplicaOptions options,
    DottedReplica dotted,
    DottedJournal journal,
    IReplicaStorage storage,
    IPeerTransport transport,
    RecordLoader loader)
{
    private const int CopyPageRecords = 2_000;

    /// <summary>
    /// A clock is told again after so many rounds without news: the last telling may have been lost, and who missed it would keep dot keys for this replica for ever.
    /// </summary>
    private const int QuietRounds = 20;

    private readonly ResidentKeys _resident = new(storage, loader);
    private readonly ArrayBufferWriter<byte> _message = new(4_096);
    private readonly HashSet<NodeId> _whole = [];
    private NodeId _pullingFrom;
    private int _pullTicks;
    private int _advertiseTicks;
    private int _quietRounds = QuietRounds;
    private bool _busy;

    /// <summary>Dots that the furthest peer is known to lack.</summary>
    public ulong PeerLag { get; private set; }

    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        switch (kind)
        {
            case DottedMessageKind.Pull:
                AnswerPull(from, PullMessage.Decode(payload));
                break;
            case DottedMessageKind.PullPage:
                if (from == _pullingFrom && !_busy && PullPage.Decode(payload) is var page && dotted.AntiEntropy.Accepts(page))
                {
                    TakePage(page);
                }

                break;
            case DottedMessageKind.FullCopyRequest:
                AnswerCopy(from, FullCopyRequest.Decode(payload));
                break;
            case DottedMessageKind.FullCopyPage:
                if (from == _pullingFrom && !_busy)
                {
                    TakeCopy(FullCopyPage.Decode(payload));
                }

                break;
            default:
                break;
        }
    }

    /// <summary>Asks a peer for what is missing here, unless a pull is under way.</summary>
    public void PullFrom(NodeId node)
    {
        if (_pullingFrom.IsNone)
        {
            _pullingFrom = node;
            if (dotted.IsRecovering && !dotted.FullCopy.IsRunning)
            {
                // Restarted in the middle of a copy: it begins anew.
                BeginCopy();
            }
            else
            {
                Ask();
            }
        }
    }

    /// <summary>No pull is under way, there is nothing to tell, and nobody is known to lack anything.</summary>
    public bool IsQuiet => _pullingFrom.IsNone && !_busy && !dotted.AdvertiseDue && !dotted.IsRecovering && PeerLag == 0 && _advertiseTicks > 0;

    public void OnReachabilityChanged() => _advertiseTicks = 0;

    /// <summary>A quiet shard still tells its clock now and then, see <see cref="QuietRounds"/>.</summary>
    public void OnQuietTicks(int ticks)
    {
        _advertiseTicks -= ticks;
        if (_advertiseTicks <= 0)
        {
            AdvertiseIfDue();
        }
    }

    /// <summary>A peer has said that it has a whole copy, under the replica id that it has now.</summary>
    public bool IsWhole(NodeId node) => _whole.Contains(node);

    /// <summary>The members changed. A replica that is new on its node has yet to say what it has.</summary>
    public void OnMembersChanged(ShardMembers earlier)
    {
        foreach (ReplicaPlace place in places.Members.Places)
        {
            if (!earlier.Config.IsMember(place.Replica))
            {
                _whole.Remove(place.Node);
            }
        }

        _whole.IntersectWith(places.Peers);
        _advertiseTicks = 0;
    }

    /// <summary>A replica that was never a member copies everything, from whoever says first that it has it.</summary>
    public void BeginAsNewcomer() => journal.Persist(dotted.FullCopy.Begin());

    public void OnTick()
    {
        if (!_pullingFrom.IsNone && !_busy && --_pullTicks <= 0)
        {
            // No answer: whoever advertises next is asked instead. A running copy goes on with the same source or begins anew with another.
            _pullingFrom = default;
        }

        if (--_advertiseTicks <= 0)
        {
            AdvertiseIfDue();
        }
    }

    private void AdvertiseIfDue()
    {
        _advertiseTicks = options.AdvertiseTicks;
        List<NodeId> behind = [.. dotted.PeersBehind()];
        PeerLag = behind.Count == 0 ? 0 : (ulong)dotted.IndexedDots;
        if (dotted.AdvertiseDue || behind.Count > 0 || --_quietRounds <= 0)
        {
            Advertise();
        }
    }

    /// <summary>A peer has told its durable clock.</summary>
    public void OnAdvertised(NodeId from, ClockAdvertised advertised)
    {
        if (advertised.Recovering)
        {
            _whole.Remove(from);
        }
        else
        {
            _whole.Add(from);
        }

        // A recovering replica asks even if its clock lacks nothing: only the end of a copy makes it whole.
        if (dotted.OnClockAdvertised(from, advertised) || (dotted.IsRecovering && !advertised.Recovering))
        {
            PullFrom(from);
        }
    }

    private void Advertise()
    {
        _quietRounds = QuietRounds;
        _message.ResetWrittenCount();
        dotted.Advertise().Encode(_message);
        foreach (NodeId peer in places.Peers)
        {
            transport.Send(descriptor.Shard, peer, DottedMessageKind.ClockAdvertised, _message.WrittenSpan);
        }
    }

    private void Ask()
    {
        _pullTicks = options.PullTicks;
        _message.ResetWrittenCount();
        bool copying = dotted.FullCopy.IsRunning && !dotted.FullCopy.IsCatchingUp;
        if (copying)
        {
            dotted.FullCopy.EncodeRequest(_message);
        }
        else
        {
            dotted.AntiEntropy.EncodePull(_message);
        }

        transport.Send(descriptor.Shard, _pullingFrom, copying ? DottedMessageKind.FullCopyRequest : DottedMessageKind.Pull, _message.WrittenSpan);
    }

    private void AnswerPull(NodeId from, PullMessage pull)
    {
        PagePlan plan = dotted.AntiEntropy.Plan(pull);
        bool resident = true;
        foreach (Key key in plan.Keys)
        {
            resident &= storage.Find(RecordSpace.Data, key.Span, out _) != RecordLookup.NotResident;
        }

        if (!resident)
        {
            // Plan anew when the records are there: a plan is valid only for the instant at which it was made.
            _resident.Ensure(plan.Keys, () => AnswerPull(from, pull));
            return;
        }

        _message.ResetWrittenCount();
        dotted.AntiEntropy.Build(plan, journal.FindResident, _message);
        transport.Send(descriptor.Shard, from, DottedMessageKind.PullPage, _message.WrittenSpan);
    }

    private void TakePage(PullPage page)
    {
        if (!dotted.AntiEntropy.Accepts(page))
        {
            // A late answer to an earlier incarnation of this node.
            return;
        }

        _busy = true;
        _resident.Ensure([.. page.Keys.Select(pulled => pulled.Key)], () =>
        {
            _busy = false;
            foreach (DottedChange change in dotted.AntiEntropy.Apply(page, journal.FindResident))
            {
                journal.Persist(change, SyncUrgency.Lazy);
            }

            if (dotted.FullCopy.TryFinish() is { } mark)
            {
                journal.Persist(mark);
            }

            Continue(page.Answer);
        });
    }

    private void Continue(PullAnswer answer)
    {
        switch (answer)
        {
            case PullAnswer.More:
                Ask();
                break;
            case PullAnswer.FullCopyNeeded:
                BeginCopy();
                break;
            default:
                _pullingFrom = default;
                break;
        }
    }

    private void BeginCopy()
    {
        if (dotted.IsRecovering)
        {
            journal.Persist(dotted.FullCopy.Begin());
        }
        else
        {
            dotted.FullCopy.BeginBehind();
        }

        Ask();
    }

    private void AnswerCopy(NodeId from, FullCopyRequest request)
    {
        // The clock is captured in the turn in which the scan begins: objects read later than the clock that fills them would run ahead of it (C3).
        CopyCapture? capture = dotted.CaptureForCopy(from, request);
        if (capture is null)
        {
            return;
        }

        loader.Scan(RecordSpace.Data, default, request.After, CopyPageRecords, options.ScanPageBytes, page =>
        {
            _message.ResetWrittenCount();
            List<(Key, ReadOnlyMemory<byte>)> records = [.. page.Records.Select(record => (new Key(record.Key), record.Record))];
            FullCopyPage.Encode(_message, request, capture, records, last: !page.More);
            transport.Send(descriptor.Shard, from, DottedMessageKind.FullCopyPage, _message.WrittenSpan);
        });
    }

    private void TakeCopy(FullCopyPage page)
    {
        CopyOffer offer = dotted.FullCopy.Offer(page, out DottedMark? begun);
        if (begun is { } mark)
        {
            journal.Persist(mark);
        }

        switch (offer)
        {
            case CopyOffer.Accepted:
                _busy = true;
                GatherOwnKeys(page, page.Request.After, []);
                break;
            case CopyOffer.SourceWentBack:
                BeginCopy();
                break;
            default:
                break;
        }
    }

    /// <summary>Reads the own keys of the page's range, then joins the page.</summary>
    private void GatherOwnKeys(FullCopyPage page, ReadOnlyMemory<byte> after, List<Key> own)
    {
        loader.Scan(RecordSpace.Data, default, after, CopyPageRecords, options.ScanPageBytes, scanned =>
        {
            bool beyond = false;
            foreach (ScannedRecord record in scanned.Records)
            {
                var key = new Key(record.Key);
                beyond |= !page.Contains(key);
                if (!beyond)
                {
                    own.Add(key);
                }
            }

            if (scanned.More && !beyond)
            {
                GatherOwnKeys(page, scanned.Records[^1].Key, own);
            }
            else
            {
                JoinCopy(page, own);
            }
        });
    }

    private void JoinCopy(FullCopyPage page, List<Key> own)
    {
        if (GaveUp(page))
        {
            return;
        }

        _resident.Ensure(dotted.FullCopy.KeysToJoin(own), () =>
        {
            if (GaveUp(page))
            {
                return;
            }

            IReadOnlyCollection<Key> keys = dotted.FullCopy.KeysToJoin(own);
            if (keys.Any(key => storage.Find(RecordSpace.Data, key.Span, out _) == RecordLookup.NotResident))
            {
                // Written meanwhile and not resident: look again.
                JoinCopy(page, own);
                return;
            }

            _busy = false;
            (List<DottedChange> changes, DottedMark? mark) = dotted.FullCopy.Join(keys, journal.FindResident);
            foreach (DottedChange change in changes)
            {
                journal.Persist(change, SyncUrgency.Lazy);
            }

            if (mark is { } adopted)
            {
                journal.Persist(adopted);
            }

            Ask();
        });
    }

    /// <summary>While the disk was read, this replica may have given its own copy up to serve another's.</summary>
    private bool GaveUp(FullCopyPage page)
    {
        if (ReferenceEquals(dotted.FullCopy.Waiting, page))
        {
            return false;
        }

        _busy = false;
        _pullingFrom = default;
        return true;
    }
}
