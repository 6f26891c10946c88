using System.Buffers;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

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

    /// <summary>Records that the answer to a pull loads from disk together.</summary>
    private const int RecordsLoadedAtOnce = 64;

    /// <summary>
    /// A clock is told again after so many rounds without news: the last telling may have been lost, and who missed it would keep dot keys for this replica for ever.
    /// </summary>
    private const int QuietRounds = 20;

    private readonly ResidentKeys _resident = new(storage, loader);

    /// <summary>The own records of the range that waits to be joined, as they were read.</summary>
    private readonly SortedDictionary<Key, ReadOnlyMemory<byte>> _ownRecords = [];

    /// <summary>What was written there since the page came; it is newer. Empty: removed.</summary>
    private readonly Dictionary<Key, ReadOnlyMemory<byte>> _written = [];
    private readonly ArrayBufferWriter<byte> _message = new(4_096);
    private readonly HashSet<NodeId> _whole = [];
    private readonly List<HeldPage> _held = [];
    private NodeId _pullingFrom;
    private int _pullTicks;
    private int _advertiseTicks;
    private int _quietRounds = QuietRounds;
    private bool _busy;
    private bool _forBaseline;
    private bool _stopped;

    /// <summary>
    /// The shard is closing. A whole replica pulls only what the leader's baseline asks for: what it has reported, and what it has said to hold, must not change behind its back (C2).
    /// </summary>
    public bool IsClosing
    {
        get;
        set
        {
            _forBaseline = false;
            if (value && !field && !_busy && !dotted.IsRecovering)
            {
                _pullingFrom = default;
                dotted.FullCopy.GiveUpHope();
            }

            field = value;
        }
    }

    /// <summary>Nothing is joined or answered any more, whatever was on its way.</summary>
    public void Stop() => _stopped = true;

    /// <summary>No page of another replica is asked for or being joined.</summary>
    public bool IsAtRest => _pullingFrom.IsNone && !_busy;

    /// <summary>Called when there has been no news for <see cref="QuietRounds"/>.</summary>
    public Action QuietRound { get; set; } = () => { };

    /// <summary>Dots that the furthest peer is known to lack.</summary>
    public ulong PeerLag { get; private set; }

    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        switch (kind)
        {
            case DottedMessageKind.Pull:
                AnswerPull(from, PullMessage.Decode(payload), RecordsLoadedAtOnce);
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
        if (!IsClosing || dotted.IsRecovering)
        {
            PullForBaseline(node);
        }
    }

    /// <summary>The same, where the baseline of a closing shard needs it.</summary>
    public void PullForBaseline(NodeId node)
    {
        _forBaseline = IsClosing;
        if (_pullingFrom.IsNone && !_busy)
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

    /// <summary>As <see cref="PullFrom"/>, for somebody who waits: a pull that is not answered at once is taken for lost, rather than after <see cref="ReplicaOptions.PullTicks"/>.</summary>
    public void PullSoonFrom(NodeId node)
    {
        const int HastyTicks = 8;
        if (!_pullingFrom.IsNone && !_busy && !dotted.FullCopy.IsRunning && options.PullTicks - _pullTicks >= HastyTicks)
        {
            _pullingFrom = default;
        }

        PullFrom(node);
    }

    /// <summary>The replica has changed a record.</summary>
    public void OnChanged(DottedChange change)
    {
        if (dotted.FullCopy.Waiting is { } page && page.Contains(change.Key))
        {
            _written[Key.CopyOf(change.Key.Span)] = change.Removes ? default : change.StoredRecord;
        }
    }

    /// <summary>More of the log is durable.</summary>
    public void OnDurable()
    {
        foreach (HeldPage page in _held)
        {
            if (page.Number <= journal.Durable)
            {
                transport.Send(descriptor.Shard, page.To, page.Kind, page.Bytes);
            }
        }

        _held.RemoveAll(page => page.Number <= journal.Durable);
    }

    public void OnReachabilityChanged() => _advertiseTicks = 0;

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

    /// <summary>No pull is under way, there is nothing to tell, and nobody is known to lack anything.</summary>
    public bool IsQuiet => _pullingFrom.IsNone && !_busy && _held.Count == 0 && !dotted.AdvertiseDue && !dotted.IsRecovering && PeerLag == 0 && _advertiseTicks > 0;

    /// <summary>A quiet shard still tells its clock now and then, see <see cref="QuietRounds"/>.</summary>
    public void OnQuietTicks(int ticks)
    {
        _advertiseTicks -= ticks;
        if (_advertiseTicks <= 0)
        {
            AdvertiseIfDue();
        }
    }

    public void OnTick()
    {
        if (!_pullingFrom.IsNone && !_busy && --_pullTicks <= 0)
        {
            // No answer: whoever advertises next is asked instead. A running copy goes on with the same source or begins anew with another.
            _pullingFrom = default;
            dotted.FullCopy.GiveUpHope();
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
        if (dotted.AdvertiseDue || dotted.IsRecovering || behind.Count > 0)
        {
            Advertise();
        }
        else if (--_quietRounds <= 0)
        {
            Advertise();
            QuietRound();
        }
    }

    /// <summary>A peer has told its durable clock.</summary>
    public void OnAdvertised(NodeId from, ClockAdvertised advertised)
    {
        if (advertised.Recovering)
        {
            _whole.Remove(from);

            // It waits to hear of a source.
            _quietRounds = 0;
            _advertiseTicks = Math.Min(_advertiseTicks, 1);
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

    /// <param name="from">Who asked.</param>
    /// <param name="pull">The question.</param>
    /// <param name="toLoad">At most so many records are loaded before the page is built. Each further attempt loads fewer, because in a small table the later ones evict the first.</param>
    private void AnswerPull(NodeId from, PullMessage pull, int toLoad)
    {
        if (_stopped)
        {
            // It waited for the disk, and the log has taken over meanwhile: nobody knows any more which key a dot was written to.
            return;
        }

        PagePlan plan = dotted.AntiEntropy.Plan(pull);
        int resident = _resident.CountLeading(plan.Keys);
        if (resident == 0 && plan.Keys.Count > 0)
        {
            // Plan anew when the records are there: a plan is valid only for the instant at which it was made.
            _resident.Load([.. plan.Keys.Take(toLoad)], () => AnswerPull(from, pull, Math.Max(1, toLoad / 4)));
            return;
        }

        _message.ResetWrittenCount();
        dotted.AntiEntropy.Build(plan.FirstKeys(resident), journal.FindResident, _message);
        SendWhenDurable(from, DottedMessageKind.PullPage);
    }

    /// <summary>
    /// The objects of a page are filled with all that this replica has seen. Were it to forget some of that in a power loss, the page's receiver would keep contexts that nobody else ever has: equal clocks, unequal data.
    /// At most one page waits for each peer; it asks again for another one.
    /// </summary>
    private void SendWhenDurable(NodeId to, DottedMessageKind kind)
    {
        if (dotted.Number <= journal.Durable)
        {
            transport.Send(descriptor.Shard, to, kind, _message.WrittenSpan);
            return;
        }

        _held.RemoveAll(page => page.To == to);
        _held.Add(new HeldPage(dotted.Number, to, kind, _message.WrittenSpan.ToArray()));
    }

    private void TakePage(PullPage page)
    {
        _busy = true;
        TakeKeys(page, 0);
    }

    /// <summary>Joins the page key by key, each with all its dots, so that one record in memory at a time is enough.</summary>
    private void TakeKeys(PullPage page, int next)
    {
        if (_stopped)
        {
            return;
        }

        for (; next < page.Keys.Count; next++)
        {
            PulledKey pulled = page.Keys[next];
            if (!journal.TryFind(pulled.Key.Span, out _))
            {
                int waiting = next;
                loader.Load(RecordSpace.Data, pulled.Key.Span, () => TakeKeys(page, waiting));
                return;
            }

            foreach (DottedChange change in dotted.AntiEntropy.Apply(page with { Keys = [pulled] }, journal.FindResident))
            {
                journal.Persist(change, SyncUrgency.Lazy);
            }
        }

        _busy = false;
        if (dotted.FullCopy.TryFinish() is { } mark)
        {
            journal.Persist(mark);
        }
        else if (journal.Memory is not null && page.Answer == PullAnswer.Complete && dotted.FullCopy.IsCatchingUp)
        {
            // The source has restarted since, and what only it had is gone: waiting for it would be waiting for ever.
            BeginCopy();
            return;
        }

        Continue(page.Answer);
    }

    private void Continue(PullAnswer answer)
    {
        if (IsClosing && !_forBaseline && !dotted.IsRecovering)
        {
            // It began before the closing.
            _pullingFrom = default;
            return;
        }

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

        journal.Scan(RecordSpace.Data, default, request.After, CopyPageRecords, options.ScanPageBytes, page =>
        {
            if (_stopped)
            {
                // What was read may be the log's by now, and is no part of what the capture speaks of.
                return;
            }

            _message.ResetWrittenCount();
            List<(Key, ReadOnlyMemory<byte>)> records = [.. page.Records.Select(record => (new Key(record.Key), record.Record))];
            FullCopyPage.Encode(_message, request, capture, records, last: !page.More);
            SendWhenDurable(from, DottedMessageKind.FullCopyPage);
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
                Forget();
                GatherOwnRecords(page, page.Request.After);
                break;
            case CopyOffer.SourceWentBack:
                BeginCopy();
                break;
            default:
                break;
        }
    }

    /// <summary>Reads the own records of the page's range, then joins the page. They are kept as they were read, so that a small table need not hold the whole range at one time.</summary>
    private void GatherOwnRecords(FullCopyPage page, ReadOnlyMemory<byte> after)
    {
        journal.Scan(RecordSpace.Data, default, after, CopyPageRecords, options.ScanPageBytes, scanned =>
        {
            if (_stopped)
            {
                return;
            }

            bool beyond = false;
            foreach (ScannedRecord record in scanned.Records)
            {
                var key = new Key(record.Key);
                beyond |= !page.Contains(key);
                if (!beyond)
                {
                    _ownRecords[key] = record.Record;
                }
            }

            if (scanned.More && !beyond)
            {
                GatherOwnRecords(page, scanned.Records[^1].Key);
            }
            else
            {
                JoinCopy(page);
            }
        });
    }

    private void JoinCopy(FullCopyPage page)
    {
        if (GaveUp(page))
        {
            return;
        }

        _busy = false;
        (List<DottedChange> changes, DottedMark? mark) = dotted.FullCopy.Join(dotted.FullCopy.KeysToJoin(_ownRecords.Keys), FindOwn);
        Forget();
        foreach (DottedChange change in changes)
        {
            journal.Persist(change, SyncUrgency.Lazy);
        }

        if (mark is { } adopted)
        {
            journal.Persist(adopted);
        }

        Ask();
    }

    private DottedObject FindOwn(Key key)
    {
        if (!_written.TryGetValue(key, out ReadOnlyMemory<byte> record) && !_ownRecords.TryGetValue(key, out record))
        {
            return DottedObject.Empty;
        }

        return record.IsEmpty ? DottedObject.Empty : DottedObject.Decode(record);
    }

    private void Forget()
    {
        _ownRecords.Clear();
        _written.Clear();
    }

    /// <summary>While the disk was read, this replica may have given its own copy up to serve another's.</summary>
    private bool GaveUp(FullCopyPage page)
    {
        if (ReferenceEquals(dotted.FullCopy.Waiting, page))
        {
            return false;
        }

        Forget();
        _busy = false;
        _pullingFrom = default;
        return true;
    }

    private readonly record struct HeldPage(ulong Number, NodeId To, DottedMessageKind Kind, byte[] Bytes);
}
