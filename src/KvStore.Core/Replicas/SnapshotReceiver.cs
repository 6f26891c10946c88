using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Takes a snapshot page by page and switches over when the last page is in. Pages come in order or not at all: one that is missing ends the attempt, and the leader begins anew.
/// </summary>
/// <remarks>
/// The snapshot of an ordered shard is a whole view: it is gathered beside the current one, which serves reads until then. The snapshot of an open shard only moves the position of the group's log and says
/// what the regime is, who the members are, and which requests the log had applied: the data stays, since no entry of the open period ever told what is in it, and is healed otherwise.
/// Either may also go to a replica whose log goes on, but which could not apply an entry (<see cref="RegimeSwitch.IsLate"/>): then the log stays.
/// </remarks>
internal sealed class SnapshotReceiver(
    ShardDescriptor descriptor,
    RegimeState regimes,
    RegimeSwitch switcher,
    KvStateMachine stateMachine,
    ReplicaPlaces places,
    RaftNode raft,
    IReplicaStorage storage,
    IPeerTransport transport,
    ViewState view)
{
    private const int TicksBetweenFlushes = 10;

    private readonly List<ScannedRecord> _requests = [];
    private ReplicaId _from;
    private int _waitingTicks;
    private ulong _attempt;
    private Term _term;
    private int _nextPage;
    private ViewPosition _position;
    private ShardRegime? _skipsInto;
    private bool _keepsLog;
    private ReadOnlyMemory<byte> _accounted;

    /// <summary>All pages are in, and the switch is not durable yet: nothing may be applied, nor, if the view is replaced, sealed or scanned.</summary>
    public bool IsCommitting { get; private set; }

    /// <summary>Whether what is being committed replaces the view.</summary>
    public bool IsReplacing => IsCommitting && _skipsInto is null;

    /// <summary>What must be taken over before the view is replaced: it gets the record of the dots that are in the snapshot, its index, whether the log stays, and what to do then.</summary>
    public Action<ReadOnlyMemory<byte>, LogIndex, bool, Action> BeforeSwitch { get; init; } = (_, _, _, then) => then();

    /// <summary>An open shard's snapshot has come: the regime is about to be its, and the data is not.</summary>
    public Action Skipping { get; init; } = () => { };

    /// <summary>Open shards: the members that came with the snapshot.</summary>
    public ShardMembers? SkippedMembers { get; private set; }

    /// <summary>Whether the position of an open shard's snapshot has just become durable: the caller finishes as for an installed view.</summary>
    public bool HasSkipped => IsCommitting && _skipsInto is not null && storage.DurablePosition.Applied >= _position.Applied;

    public void OnPage(in SnapshotPage page)
    {
        if (IsCommitting)
        {
            return;
        }

        bool accepted = page.Number == 0
            ? TryBegin(page)
            : page.From == _from && page.SnapshotId == _attempt && page.Term == _term && page.Number == _nextPage;
        if (!accepted)
        {
            // A page that was repeated is answered again; anything else is refused, so that the sender does not wait in vain.
            bool repeated = page.From == _from && page.SnapshotId == _attempt && page.Number < _nextPage;
            Answer(page, reject: !repeated);
            return;
        }

        foreach (ScannedRecord record in page.Records)
        {
            Take(record);
        }

        _nextPage++;
        Answer(page, reject: false);
        if (page.Last && MayCommit())
        {
            IsCommitting = true;
            if (_skipsInto is { } regime)
            {
                Skip(regime);
            }
            else
            {
                // Running numbers of dotted records are this replica's own.
                BeforeSwitch(_accounted, _position.Applied, _keepsLog, () => storage.CommitInstall(_position with { Dotted = view.Dotted }));
            }
        }
    }

    /// <summary>One tick has passed. On a node on which nothing else happens nobody flushes the view, and the replica would wait with its position for ever.</summary>
    public void OnTick()
    {
        if (IsCommitting && _skipsInto is not null && ++_waitingTicks % TicksBetweenFlushes == 0)
        {
            storage.RequestFlush();
        }
    }

    /// <summary>The switch is durable, and the members that it brought are known.</summary>
    public void OnInstalled()
    {
        Invariant.Assert(IsCommitting);
        IsCommitting = false;
        ReplicaId from = _from;
        _from = default;
        if (_keepsLog)
        {
            raft.OnStateReplaced(_position.Applied, places.Members.Config);
            return;
        }

        // Only now may older entries be declared void: before, they were what this replica had acknowledged.
        storage.Append(LogRecordKind.SnapshotInstalled, _position.AppliedTerm, _position.Applied, [], SyncUrgency.Now);
        raft.OnSnapshotInstalled(_position.Applied, _position.AppliedTerm, from, _term, places.Members.Config);
    }

    private void Take(in ScannedRecord record)
    {
        bool isMeta = record.Space == RecordSpace.Meta;
        if (_skipsInto is null)
        {
            storage.Install(record.Space, record.Key.Span, record.Record.Span);
            if (isMeta && record.Key.Span.SequenceEqual(Overlays.AccountedDots.MetaKey))
            {
                _accounted = record.Record.ToArray();
            }
        }
        else if (isMeta && record.Key.Span.SequenceEqual(MembersCodec.Key))
        {
            SkippedMembers = MembersCodec.DecodeMembers(record.Record.ToArray());
        }
        else if (!record.Key.Span.SequenceEqual(ShardRegime.MetaKey))
        {
            Invariant.Assert(isMeta && record.Key.Span.StartsWith(DedupTable.KeyPrefix), "the snapshot of an open shard holds nothing but its regime, its members and requests");
            _requests.Add(new ScannedRecord(record.Space, record.Key.ToArray(), record.Record.ToArray()));
        }
    }

    private void Skip(ShardRegime regime)
    {
        switcher.IsSkipping = true;
        Skipping();
        regimes.Skip(regime, view.Applied);
        view.SkipTo(_position.Applied, _position.AppliedTerm);
        stateMachine.ReplaceRequests(_requests);
        _requests.Clear();
        if (SkippedMembers is { } members && !MembersCodec.EncodeMembers(members).AsSpan().SequenceEqual(MembersCodec.EncodeMembers(places.Members)))
        {
            storage.Put(RecordSpace.Meta, MembersCodec.Key, MembersCodec.EncodeMembers(members));
        }

        view.Seal();
        storage.RequestFlush();
    }

    private bool TryBegin(in SnapshotPage page)
    {
        bool keepsLog = WantsState(page);
        if (!keepsLog && !raft.WouldAcceptSnapshot(page.From, page.Term, page.Position.Applied, page.Position.AppliedTerm))
        {
            raft.RefuseSnapshot(page.From, page.Position.Applied, page.Position.AppliedTerm);
            return false;
        }

        ShardRegime? skipsInto = FindOpenRegime(page);
        if (skipsInto is { } regime && regime.Epoch < regimes.Epoch)
        {
            return false;
        }

        _from = page.From;
        _attempt = page.SnapshotId;
        _term = page.Term;
        _position = page.Position;
        _nextPage = 0;
        _keepsLog = keepsLog;
        _skipsInto = skipsInto;
        _accounted = default;
        _requests.Clear();
        SkippedMembers = null;
        if (skipsInto is null)
        {
            storage.BeginInstall();
        }

        return true;
    }

    private bool MayCommit() => _keepsLog
        ? switcher.IsLate && _position.Applied > view.Applied && _position.Applied <= raft.CommitIndex && raft.State != RaftRole.Leader
        : raft.BeginSnapshotInstall(_from, _term, _position.Applied, _position.AppliedTerm);

    /// <summary>A late replica takes the state at an entry that its own log has committed.</summary>
    private bool WantsState(in SnapshotPage page) =>
        switcher.IsLate
        && raft.State != RaftRole.Leader
        && page.Term == raft.Term
        && page.Position.Applied > view.Applied
        && page.Position.Applied <= raft.CommitIndex
        && raft.TermAt(page.Position.Applied).Is(page.Position.AppliedTerm);

    /// <summary>The regime stands on the first page of an open shard's snapshot.</summary>
    private static ShardRegime? FindOpenRegime(in SnapshotPage page)
    {
        foreach (ScannedRecord record in page.Records)
        {
            if (record.Space == RecordSpace.Meta && record.Key.Span.SequenceEqual(ShardRegime.MetaKey))
            {
                ShardRegime regime = ShardRegime.Decode(record.Record);
                return regime.IsOrdered ? null : regime;
            }
        }

        return null;
    }

    private void Answer(in SnapshotPage page, bool reject)
    {
        NodeId node = places.NodeOf(page.From);
        if (node.IsNone)
        {
            return;
        }

        transport.Send(descriptor.Shard, node, new RaftMessage
        {
            Kind = RaftMessageKind.SnapshotResponse,
            From = descriptor.Self.Replica,
            To = page.From,
            Term = raft.Term,
            Index = new LogIndex((ulong)page.Number),
            Round = page.SnapshotId,
            Reject = reject,
        });
    }
}
