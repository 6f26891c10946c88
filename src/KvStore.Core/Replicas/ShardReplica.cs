using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Replicas.Watching;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// One replica of one shard: composes consensus, state machine, dotted replication, snapshots and policy, and is the only thing that the shard loop, the simulator and the scripts
/// drive. Start reading here.
/// </summary>
/// <remarks>
/// All calls come from the loop that owns it, one after another. Inputs (<see cref="Submit"/>, the Receive and On... methods, <see cref="Tick"/>) only change memory; after a batch of inputs the loop calls
/// <see cref="Turn"/>, in which the replica appends to the log, sends messages and puts answers into the list it was given. Nothing here waits, reads a clock, or does I/O.
/// </remarks>
public sealed class ShardReplica
{
    private readonly ReplicaOptions _options;
    private readonly IReplicaStorage _storage;
    private readonly IPeerTransport _transport;
    private readonly ReplicaClock _clock;
    private readonly ReplicaPlaces _places;
    private readonly CompletionSink _completions;
    private readonly PeerReachability _peers;
    private readonly ViewState _view;
    private readonly RecordLoader _loader;
    private readonly KvStateMachine _stateMachine;
    private readonly ExpiryIndex _expiries;
    private readonly ExpiryScan _expiryScan;
    private readonly EarlyAcknowledgements _early;
    private readonly RegimeState _regimes;
    private readonly ReplicaParts _parts;
    private readonly OpenPeriods _periods;
    private readonly SessionGate _sessions;
    private readonly PeerLags _lags;
    private readonly Overlay _overlay;
    private readonly HandIn _handIn;
    private readonly RecoveredReplica _recovered;
    private readonly Random _random;
    private ConsensusGroup? _group;
    private ProvisionalEngine? _provisional;
    private ShardMembers? _restoredMembers;
    private ViewPosition _released;
    private ReadOnlyMemory<byte> _dottedState;
    private bool _peeks;

    /// <param name="recovered">What storage found of this replica; <see cref="RecoveredReplica.Empty"/> for a new one.</param>
    /// <param name="random">For election timeouts and fresh actors; owned by this replica.</param>
    /// <param name="output">Where answers go; the loop takes them after each turn.</param>
    public ShardReplica(
        ShardDescriptor descriptor,
        ReplicaOptions options,
        IReplicaStorage storage,
        IPeerTransport transport,
        RecoveredReplica recovered,
        ReplicaClock clock,
        Random random,
        List<Completion> output)
    {
        Descriptor = descriptor;
        _options = options;
        _storage = storage;
        _transport = transport;
        _clock = clock;
        _recovered = recovered;
        _random = random;
        _regimes = new RegimeState(descriptor, storage);
        _places = new ReplicaPlaces(descriptor);
        _peers = new PeerReachability(_places);
        _completions = new CompletionSink(descriptor, _regimes, _peers, clock, output);
        _view = new ViewState(options, storage);
        _view.Reset(recovered.Position);
        _loader = new RecordLoader(storage, _view);
        _expiries = new ExpiryIndex(clock);
        _expiryScan = new ExpiryScan(options, _expiries, _loader, _view);
        ChangeFeed? feed = options.NotesChanges ? new ChangeFeed(descriptor, options, clock, _view, _regimes) : null;
        _stateMachine = new KvStateMachine(storage, _regimes, _expiries, feed);
        _view.BeforeSeal(_stateMachine.WriteChangedSessions);
        _view.BeforeSeal(() => Open?.WriteState());
        _early = new EarlyAcknowledgements(descriptor.MaxLag);
        LostWrites = new LostWriteJournal(descriptor, options, storage, clock, _early);
        _overlay = new Overlay(options, clock, storage, _view, _stateMachine.Accounted);
        _stateMachine.Merge.Merged = key =>
        {
            _overlay.OnAccounted(key);
            _stateMachine.NoteMerged(key);
        };
        _stateMachine.Merge.Finished = _overlay.OnAccounted;
        _handIn = new HandIn(descriptor, _regimes, options, clock, _overlay, _stateMachine.Accounted, transport);
        _parts = new ReplicaParts(descriptor, _regimes, _places, _peers, options, clock, storage, transport, _stateMachine, _view, _loader, _completions, _early, LostWrites, _expiries, _expiryScan, _overlay) { Feed = feed };
        Watch = feed is null ? null : new ReplicaWatch(_parts, feed);
        _periods = new OpenPeriods(_parts, random);
        _lags = new PeerLags(clock);
        _sessions = new SessionGate(descriptor, _regimes, options, clock, _view, _completions, Serve)
        {
            FindDotted = () => Open?.Dotted,
            DotsFor = operation => _provisional?.Takes(operation) == true ? _overlay.Known() : _stateMachine.Accounted.Clock,
            OverlayChanges = () => _overlay.Changes,
        };
    }

    public ShardDescriptor Descriptor { get; }

    /// <summary>What watches need of this replica; null where changes are not noted.</summary>
    public ReplicaWatch? Watch { get; }

    /// <summary>How the shard is run, as of the applied index.</summary>
    public ShardRegime CurrentRegime => _regimes.Current;

    /// <summary>Started, and neither fenced nor stopped.</summary>
    public bool IsActive { get; private set; }

    /// <summary>Not null: the replica has stopped serving for good, and why.</summary>
    public string? FencedBecause { get; private set; }

    public bool IsLeader => IsActive && _group!.IsLeader;

    /// <summary>This replica was removed from the shard for good, as far as it knows: it serves nothing, and what it has on the disk can go.</summary>
    public bool IsRemoved => _places.IsRemoved;

    /// <summary>The members as of the applied index.</summary>
    public ShardMembers Members => _places.Members;

    /// <summary>Set since this start if the shard had lost its majority with <see cref="ReplicaOptions.GivenUp"/>.</summary>
    public QuorumLoss? QuorumLoss { get; private set; }

    /// <summary>The node that leads, as far as this replica knows.</summary>
    public NodeId LeaderNode => _group?.LeaderNode ?? default;

    public Term Term => _group?.Raft.Term ?? Term.Zero;

    /// <summary>What this replica acknowledged early and lost. To be read on its loop.</summary>
    public LostWriteJournal LostWrites { get; }

    /// <summary>Bytes of writes made outside the log that wait here to be merged, and for how long the oldest has waited.</summary>
    public (long Bytes, ulong AgeMs) OverlayState => _overlay.Bytes == 0 ? default : (_overlay.Bytes, _overlay.AgeMs);

    /// <summary>This replica answers without a leader, and says so with every answer.</summary>
    public bool IsProvisional => _provisional is { IsServing: true };

    private OpenEngine? Open => _periods.Engine;

    /// <summary>Operations and loads that are not answered yet.</summary>
    public int PendingCount => (_group?.PendingCount ?? 0) + _loader.Waiting + (Open?.PendingCount ?? 0) + (_provisional?.PendingCount ?? 0) + _sessions.Count;

    public ViewPosition Position => _view.Position;

    /// <summary>Data in memory only: objects evicted since the start, and losses of all replicas that were declared here since the start.</summary>
    public (long Evictions, long Losses) Memory => (Open?.Evictions ?? 0, Open?.Recovery?.LossesSinceStart ?? 0);

    /// <summary>Data in memory only: there is nothing here yet, and a peer that has it can be reached or may turn up in a moment.</summary>
    public bool AwaitsCopy => Descriptor.IsInMemory && FencedBecause is null && !_places.IsRemoved && (!IsActive || (Open?.Recovery?.AwaitsCopy ?? false));

    /// <summary>Last-writer-wins: values that this replica has dropped because others won, since its start.</summary>
    public long LosersDropped => Open?.LosersDropped ?? 0;

    /// <summary>
    /// Nothing is under way here or in the group: the loop calls <see cref="TickQuiet"/> now and then instead of <see cref="Tick"/>. Whatever is handed to the replica may end that, so the loop looks
    /// again after each <see cref="Turn"/>.
    /// </summary>
    public bool IsQuiet => FencedBecause is not null
        || (IsActive && _group!.IsQuiet && PendingCount == 0 && !WaitsForDurable && _view.IsSealed && !_view.IsReplacing && !IsChanging && (Open?.IsQuiet ?? true)
            && !_handIn.HasWork && (_provisional?.IsQuiet ?? true));

    /// <summary>Something of a change of regime is under way here.</summary>
    private bool IsChanging => _periods.IsOpening || _regimes.Current.Kind == RegimeKind.Closing || _group!.Switch.IsLate;

    /// <summary>Something of this replica waits until the log is durable.</summary>
    public bool WaitsForDurable => (_group?.WaitsForDurable ?? false) || (Open?.WaitsForDurable ?? false) || _overlay.WaitsForDurable;

    /// <summary>
    /// The node that this operation should be forwarded to: where the shard is ordered and another replica leads. None: submit it here.
    /// </summary>
    public NodeId BetterPlaceFor(in ClientOperation operation)
    {
        bool needsLeader = _regimes.IsOrdered && IsActive && !(_provisional?.Takes(operation) ?? false) && (operation.IsWrite || NeedsLeader(operation));
        NodeId leader = needsLeader && !IsLeader ? LeaderNode : default;
        return leader == Descriptor.Self.Node || !_peers.IsReachable(leader) ? default : leader;
    }

    /// <summary>A record as it stands here, without any promise of freshness. False where it is absent or not in memory.</summary>
    public bool TryPeek(ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> value, out LogIndex version)
    {
        (value, version) = (default, LogIndex.Zero);
        if (!IsActive || !_regimes.IsOrdered || _view.IsReplacing)
        {
            return false;
        }

        RecordLookup lookup = _storage.Find(RecordSpace.Data, key, out ReadOnlyMemory<byte> record);
        if (lookup == RecordLookup.NotResident && !_peeks)
        {
            // After a snapshot, or a start that read only a part back: without this, nobody might ever ask for it otherwise.
            _peeks = true;
            _loader.Load(RecordSpace.Data, key, () => _peeks = false);
        }

        if (lookup != RecordLookup.Found || !OrderedRecord.IsOrdered(record.Span))
        {
            return false;
        }

        OrderedRecord found = OrderedRecord.Decode(record);
        (value, version) = (found.Visible, found.Index);
        return true;
    }

    /// <summary>Stands for election at once: for the preferred replica of a shard that was just created.</summary>
    public void Campaign()
    {
        if (IsActive && _group!.Raft is { State: RaftRole.Follower, Leader.IsNone: true } raft)
        {
            raft.Campaign();
        }
    }

    /// <summary>Reads back what the replica remembers of itself, then begins to serve. Until then operations are refused as retryable, and messages are dropped like lost ones.</summary>
    public void Start() => _loader.ScanAll(RecordSpace.Meta, _options.ScanPageBytes, record => Restore(record), () =>
    {
        if (!_regimes.IsOrdered)
        {
            _periods.Restore(_dottedState);
        }

        _loader.ScanAll(RecordSpace.DotKeys, _options.ScanPageBytes, record => Restore(record), () =>
            _loader.ScanAll(RecordSpace.Journal, _options.ScanPageBytes, record => Restore(record), () =>
                _loader.ScanAll(RecordSpace.Overlay, _options.ScanPageBytes, record => Restore(record), Activate)));
    });

    public void Submit(in ClientOperation operation)
    {
        if (FencedBecause is not null)
        {
            _completions.Refuse(operation, RefusalCode.StorageFailed, $"This replica has stopped serving: {FencedBecause}");
            return;
        }

        if (_places.IsRemoved)
        {
            _completions.Refuse(operation, RefusalCode.ReplicaRemoved, "This replica was removed from its shard; refresh the topology and ask another one.");
            return;
        }

        if (!IsActive || _view.IsReplacing)
        {
            _completions.Refuse(operation, RefusalCode.Recovering, "This replica is still reading its data; try again in a moment.");
            return;
        }

        if (!_places.IsMember)
        {
            // Its view is the shard's as of an index at which nobody knew it, or empty: no answer at all is better than that one.
            _completions.Refuse(operation, RefusalCode.Recovering, "This replica is new and has not got the shard's data yet; ask another one.");
            return;
        }

        if (operation.Session.IsEmpty || _sessions.TryPass(operation))
        {
            Serve(operation);
        }
    }

    /// <summary>A message of another replica has come from a node. It says where that replica lives, too: one that lags answers leaders of whom it has never heard.</summary>
    public void Receive(NodeId from, in RaftMessage message)
    {
        if (!IsActive || message.To != Descriptor.Self.Replica)
        {
            return;
        }

        if (message.Kind == RaftMessageKind.Removed)
        {
            OnToldRemoved();
            return;
        }

        _group!.Receive(from, message);
    }

    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        // A source takes a newcomer's place among the peers before it captures anything for it; so a newcomer waits until the members know it.
        if (!IsActive || _view.IsReplacing || _places.IsRemoved || (_places.PeerIndexOf(from) < 0 && _places.IsMember))
        {
            return;
        }

        if (kind == DottedMessageKind.SnapshotWanted)
        {
            _group!.OnSnapshotWanted(from);
        }
        else if (kind is >= DottedMessageKind.ReportWanted and <= DottedMessageKind.BaselineHeld)
        {
            _group!.Closing.Receive(from, kind, payload);
        }
        else if (kind is DottedMessageKind.HandIn or DottedMessageKind.HandInDone)
        {
            if (_regimes.IsOrdered)
            {
                _handIn.OnHandedIn(kind, payload, _group!.Ordered.TryPropose);
            }
        }
        else if (kind is DottedMessageKind.OverlayShare or DottedMessageKind.OverlayShared or DottedMessageKind.OverlayKnown)
        {
            _provisional?.Receive(from, kind, payload);
        }
        else
        {
            _periods.Receive(from, kind, payload);
        }
    }

    public void Receive(NodeId from, in SnapshotPage page)
    {
        if (IsActive && page.To == Descriptor.Self.Replica)
        {
            _group!.Receive(from, page);
        }
    }

    /// <summary>
    /// Asks this replica, which must lead, to make the shard's members these. A replica that is new enters as a learner; a learner may vote when it has caught up; a change of several voters goes through a
    /// joint configuration by itself. The answer is a <see cref="Completion"/> with this handle:
    /// <see cref="Outcome.Done"/> when the final configuration is applied here; <see cref="Outcome.NotDone"/> with
    /// <see cref="RefusalCode.NotLeader"/>, <see cref="RefusalCode.NoLeader"/>, <see cref="RefusalCode.ChangePending"/>, <see cref="RefusalCode.NotCaughtUp"/>, <see cref="RefusalCode.InvalidArgument"/> or
    /// <see cref="RefusalCode.Overloaded"/> when nothing was begun; <see cref="Outcome.Unknown"/> when the leadership or the time ran out on the way.
    /// </summary>
    /// <param name="deadlineMs">On the loop's monotonic clock.</param>
    public void ChangeMembers(ulong handle, ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners, long deadlineMs)
    {
        var asked = new ClientOperation { Handle = handle };
        if (FencedBecause is not null)
        {
            _completions.Refuse(asked, RefusalCode.StorageFailed, $"This replica has stopped serving: {FencedBecause}");
        }
        else if (!IsActive || _view.IsReplacing)
        {
            _completions.Refuse(asked, RefusalCode.Recovering, "This replica is still reading its data; try again in a moment.");
        }
        else
        {
            _group!.Membership.Begin(handle, voters, learners, deadlineMs);
        }
    }

    /// <summary>
    /// Asks this replica, which must lead, to bring the shard into a mode: another policy, another replication, or both. The answer is a <see cref="Completion"/> with this handle: <see cref="Outcome.Done"/>
    /// when the mode is in force here, at once if it was; <see cref="Outcome.NotDone"/> with <see cref="RefusalCode.NotLeader"/>, <see cref="RefusalCode.NoLeader"/>,
    /// <see cref="RefusalCode.InvalidArgument"/>, <see cref="RefusalCode.ChangePending"/> or <see cref="RefusalCode.Overloaded"/> when nothing was begun; <see cref="Outcome.Unknown"/> when the
    /// leadership or the time ran out: what was begun goes on, and asking again, here or at the next leader, does no harm.
    /// </summary>
    /// <param name="deadlineMs">On the loop's monotonic clock.</param>
    public void ChangeMode(ulong handle, KeyspaceMode wanted, long deadlineMs)
    {
        var asked = new ClientOperation { Handle = handle };
        if (FencedBecause is not null)
        {
            _completions.Refuse(asked, RefusalCode.StorageFailed, $"This replica has stopped serving: {FencedBecause}");
        }
        else if (!IsActive || _view.IsReplacing)
        {
            _completions.Refuse(asked, RefusalCode.Recovering, "This replica is still reading its data; try again in a moment.");
        }
        else
        {
            _group!.Switch.Begin(handle, wanted, deadlineMs);
        }
    }

    /// <summary>How far early acknowledgements may run ahead from now on. A setting of this replica, not of the log: whoever leads next has been told as well.</summary>
    public void SetMaxLag(MaxLag limit) => _early.Limit = limit;

    /// <summary>Hands leadership to the voter on another node. Returns false, and does nothing, if this replica does not lead, that node has no voter, or a transfer is under way.</summary>
    public bool TransferLeadership(NodeId to)
    {
        if (!IsLeader)
        {
            return false;
        }

        ReplicaPlace target = _places.Members.Places.FirstOrDefault(place => place.Node == to && _places.Members.Config.Voters.Contains(place.Replica));
        return !target.Replica.IsNone && _group!.Raft.TransferLeadership(target.Replica);
    }

    /// <summary>Everything this replica's loop appended up to a position is durable.</summary>
    public void OnDurable(LogPosition position)
    {
        if (IsActive)
        {
            _group!.Ordered.OnDurable(position);
            Open?.OnDurable(position);
            if (_overlay.OnDurable(position))
            {
                _provisional?.OnDurable();
            }
        }
    }

    public void OnLoaded(ulong tag)
    {
        if (FencedBecause is null)
        {
            _loader.OnLoaded(tag);
        }
    }

    public void OnScanned(ScanPage page)
    {
        if (FencedBecause is null && !_loader.OnScanned(page))
        {
            _group?.OnScanned(page);
        }
    }

    /// <summary>A snapshot has replaced the view, durably.</summary>
    public void OnInstalled(in ViewPosition position)
    {
        _view.Reset(position);
        _loader.Release();
        _group!.OnViewReplaced();
        _stateMachine.Clear();
        _expiries.Clear();
        _regimes.Clear();
        _periods.OnViewReplaced();
        _restoredMembers = null;
        _peeks = false;
        _loader.ScanAll(RecordSpace.Meta, _options.ScanPageBytes, record => Restore(record), () =>
        {
            _view.IsReplacing = false;
            _expiryScan.Begin();
            _overlay.OnAccounted();
            Watch?.OnViewReplaced();
            _group.OnInstalled(_restoredMembers ?? ShardMembers.Founding(Descriptor.Founders));
            SetProvisional();
        });
    }

    /// <summary>The node's failure detector has changed its mind about a peer.</summary>
    /// <param name="node">A peer of this shard, or any other node.</param>
    /// <param name="reachable">Whether it is heard and hears this node.</param>
    /// <param name="boot">Which life of the peer is heard: another number after each restart. Zero: not known, and then no group falls silent relying on it.</param>
    public void SetReachable(NodeId node, bool reachable, ulong boot = 0)
    {
        bool restarted = _peers.SetBoot(node, boot);
        bool changed = _peers.Set(node, reachable, _clock.NowMs);
        if (changed)
        {
            Open?.OnReachabilityChanged();
            _provisional?.OnReachabilityChanged();
        }

        if (changed || restarted)
        {
            _group?.OnNewsOf(node, reachable);
        }
    }

    /// <summary>A connection to a peer broke: perhaps its process died. A quiet group finds out, as soon as the detector would begin to count.</summary>
    public void OnPeerLost(NodeId node)
    {
        if (IsActive)
        {
            _group!.OnNewsOf(node, reachable: true);
        }
    }

    /// <summary>One tick of <see cref="ReplicaOptions.TickMs"/> has passed.</summary>
    public void Tick()
    {
        if (!IsActive)
        {
            return;
        }

        _periods.OnTick();
        _group!.Tick();
        _sessions.OnTick();
        LookAtLags();
        if (!_places.IsRemoved && !_view.IsReplacing)
        {
            Open?.OnTick(_sessions.LongestWaitMs);
            _provisional?.OnTick(_group.LeaderContactMs, _group.Raft.HasQuorumContact);
        }

        _view.OnTick();
        _group.Compact();
        ReleaseLog();
    }

    /// <summary>So many ticks have passed for a quiet replica; once in a few hundred milliseconds is enough.</summary>
    public void TickQuiet(int ticks)
    {
        if (!IsActive)
        {
            return;
        }

        _group!.TickQuiet(ticks);
        if (!_places.IsRemoved)
        {
            Open?.OnQuietTicks(ticks);
            _provisional?.OnTick(_group.LeaderContactMs, leads: false);
        }

        ReleaseLog();
    }

    /// <summary>The inputs of a loop step are in: act on them.</summary>
    public void Turn()
    {
        if (!IsActive || _view.IsReplacing)
        {
            return;
        }

        _periods.Step();
        _sessions.Release();
        Open?.OnTurn();
        if (_regimes.IsOrdered && _handIn.HasWork && !_places.IsRemoved && !_group!.Switch.IsLate)
        {
            _handIn.Drive(LeaderNode, _group.Ordered.TryPropose);
        }

        _group!.Turn();
        if (_sessions.Release())
        {
            // What was applied has let a write or a read go on that needs the group.
            _group.Turn();
        }

        Open?.OnTurnEnds();
        Watch?.OnTurnEnds();
        _view.SealIfFull();
    }

    /// <summary>An invariant broke or the disk failed: this replica serves no more, rather than lie. What was under way is answered as unknown.</summary>
    public void Fence(string reason)
    {
        if (FencedBecause is null)
        {
            FencedBecause = reason;
            IsActive = false;
            FailAll(RefusalCode.StorageFailed, reason);
        }
    }

    /// <summary>The node stops in good order: seal what is applied, answer what waits.</summary>
    public void Stop()
    {
        if (IsActive)
        {
            _view.Seal();
            IsActive = false;
            FailAll(RefusalCode.ShuttingDown, "The node is shutting down.");
        }
    }

    /// <summary>Forgets the lost writes up to a number, durably with the next sync. Returns how many those were.</summary>
    public int ClearLostWrites(ulong upTo) => IsActive && !_view.IsReplacing ? LostWrites.Clear(upTo) : 0;

    /// <summary>What the data of an open shard comes to at this replica's present clock; null if it is not known yet, because not all records were read since the start, or the shard is ordered.</summary>
    public BucketDigests? CaptureDigests() => IsActive ? Open?.CaptureDigests() : null;

    /// <summary>A check over the requests that are remembered, for comparing replicas at the same applied index; null while a snapshot is being taken over. Looks at all of them.</summary>
    public UInt128? CaptureRequests() => IsActive && !_view.IsReplacing ? _stateMachine.SumOfRequests() : null;

    /// <summary>How often a comparison of digests with a peer, at equal clocks, has come out unequal since the start.</summary>
    public long DigestDifferencesFound => Open?.DifferencesFound ?? 0;

    public ReplicaStatus Describe() => new()
    {
        Descriptor = Descriptor,
        Regime = _provisional is { IsServing: true } ? Regime.Provisional : _regimes.Shown,
        Current = _regimes.Current,
        Switch = DescribeSwitch(),
        Role = IsActive ? _group!.Raft.State : RaftRole.Follower,
        Term = Term,
        Leader = LeaderNode,
        Commit = _group?.Raft.CommitIndex ?? LogIndex.Zero,
        Applied = _view.Applied,
        LastIndex = _group?.Raft.LastIndex ?? LogIndex.Zero,
        Members = ConsensusGroup.Describe(_places.Members, _group?.Raft),
        Removed = _places.IsRemoved,
        Clock = Open?.DescribeClock() ?? "",
        PeerLag = Open?.Healing.PeerLag ?? 0,
        Open = Open?.Describe(),
        OverlayKeys = _overlay.Count,
        OverlayBytes = _overlay.Bytes,
        OverlayAgeMs = _overlay.AgeMs,
        ProvisionalEpisodes = _provisional?.Episodes ?? 0,
        Lags = DescribeLags(),
        Quiet = IsQuiet,
        LosersDropped = LosersDropped,
        MemoryBytes = Open?.Memory?.Bytes ?? 0,
        Evictions = Memory.Evictions,
        MemoryLosses = Open?.Recovery?.Losses ?? 0,
        LastMemoryLossMs = Open?.Recovery?.LastLossMs ?? 0,
        Fenced = FencedBecause ?? (_places.IsRemoved ? "removed from the shard" : IsActive ? "" : "starting"),
    };

    private void SubmitOrdered(in ClientOperation operation)
    {
        if (_provisional is { } provisional && provisional.Takes(operation))
        {
            provisional.Submit(operation);
        }
        else
        {
            _group!.Ordered.Submit(operation);
        }
    }

    private void Activate()
    {
        _places.Set(_restoredMembers ?? _places.Members);
        RecoveredReplica recovered = _recovered;
        QuorumLoss = QuorumLossRecovery.Recover(_places, _options.GivenUp, _storage, ref recovered);
        _group = new ConsensusGroup(_parts, recovered, _random);
        _group.Membership.Changed = OnMembersChanged;
        _group.Membership.HasCopiedData = node => Open?.IsWhole(node) ?? true;
        _group.Membership.HasHandedOver = node => Open?.HasAllOf(node) ?? true;
        _group.Membership.IsClosing = () => _regimes.Current.Kind == RegimeKind.Closing;
        _group.Switch.Changed = OnRegimeChanged;
        _group.SaveUnaccounted = _periods.SaveUnaccounted;
        _group.Skipped = OnSkipped;
        _periods.Group = _group;
        _sessions.Raft = _group.Raft;
        _peers.OnMembersChanged();
        ReplayOverlay();
        _periods.Resume(_recovered);
        SetProvisional();
        _expiryScan.Begin();
        IsActive = true;
        Watch?.Begin(_group, _periods);
    }

    private void OnRegimeChanged(ShardRegime before)
    {
        Watch?.OnRegimeChanged(before);
        _periods.OnRegimeChanged(before);
        SetProvisional();
    }

    private void OnSkipped()
    {
        _periods.OnSkipped();
        Watch?.OnViewReplaced();
        SetProvisional();
    }

    /// <summary>Only an adaptive keyspace is served provisionally. What was written so before its mode changed is handed in all the same.</summary>
    private void SetProvisional()
    {
        bool wanted = _regimes.IsOrdered && _regimes.Current.Mode.Partition == PartitionChoice.Adaptive;
        if (!wanted)
        {
            _provisional?.FailAll(RefusalCode.Switching, "The keyspace has changed its mode; what was written provisionally is kept and merged.");
            _provisional = null;
        }
        else
        {
            _provisional ??= new ProvisionalEngine(_parts, _random);
        }
    }

    private SwitchStatus DescribeSwitch() => new()
    {
        IsOpening = _periods.IsOpening,
        IsLate = _group?.Switch.IsLate ?? false,
        Reported = _group?.Closing.Reported ?? [],
        Holders = _group?.Closing.Holders ?? [],
        Unbound = [.. _places.Peers.Where(peer => !_peers.IsReachable(peer))],
        LastPauseMs = _group?.Switch.LastPauseMs ?? 0,
    };


    /// <summary>Repeats what the log says of the overlay behind the view. What the view's log has accounted for goes again.</summary>
    private void ReplayOverlay()
    {
        foreach (RecoveredRecord record in _recovered.Records)
        {
            if (record.Kind == LogRecordKind.Overlay && record.Index.Value > _view.Dotted)
            {
                _overlay.Replay(record);
            }
        }

        _overlay.OnAccounted();
    }

    private void OnMembersChanged(ShardMembers earlier)
    {
        _peers.OnMembersChanged();
        _group!.OnMembersChanged();
        Open?.OnMembersChanged(earlier);
        _provisional?.OnMembersChanged();
        if (_places.IsRemoved)
        {
            StopServing();
        }
    }

    private void OnToldRemoved()
    {
        if (!_places.IsRemoved)
        {
            _places.NoteRemoved();
            StopServing();
        }
    }

    private void StopServing() => FailAll(RefusalCode.ReplicaRemoved, "This replica was removed from its shard before it could answer.");

    private void FailAll(RefusalCode code, string reason)
    {
        _sessions.FailAll(code, reason);
        _group?.FailAll(code, reason);
        Open?.FailAll(code, reason);
        _provisional?.FailAll(code, reason);
    }

    /// <summary>How far each peer is behind what is durable here. Of an ordered shard: at its leader only.</summary>
    public IReadOnlyList<PeerLag> DescribeLags() => !IsActive ? [] : Open is { } open ? _lags.Describe(open.Dotted, _places.Peers) : _lags.Describe(_group!.Raft, _places);

    private void LookAtLags()
    {
        if (!_lags.IsDue)
        {
            return;
        }

        if (Open is { } open)
        {
            _lags.Look(open.Dotted, _places.Peers);
        }
        else if (IsLeader)
        {
            _lags.Look(_group!.Raft, _places);
        }
    }

    /// <summary>Goes on with an operation whose session has been caught up with. The regime may have changed while it waited.</summary>
    private void Serve(ClientOperation operation)
    {
        if (operation.Epoch > _regimes.Epoch || _group!.Switch.IsLate || (Open is null && !_regimes.IsOrdered))
        {
            _completions.Refuse(operation, RefusalCode.Switching, "The keyspace has changed its mode, and this replica is not that far yet; try again in a moment, or ask another one.");
        }
        else if (Open is null)
        {
            SubmitOrdered(operation);
        }
        else if (!operation.IsWrite || operation.Epoch.Value == 0 || operation.Epoch == _regimes.Epoch || !_group.Ordered.TryAnswerRepeated(operation))
        {
            Open.Submit(operation);
        }
    }

    /// <summary>A read of an ordered shard that only a leader can answer, or answers sooner: it has what a session has seen, where this replica still waits for it.</summary>
    private bool NeedsLeader(in ClientOperation operation) =>
        (!_group!.Ordered.MayServeFromView(operation) && !_group.Ordered.MayServeAtReplica(operation))
        || (operation.Level == ReadLevel.Session && !IsLeader && _sessions.WouldWait(operation));

    private void Restore(in ScannedRecord record)
    {
        if (record.Space == RecordSpace.Journal)
        {
            LostWrites.Restore(record.Key.Span, record.Record.Span);
            return;
        }

        if (record.Space == RecordSpace.Overlay)
        {
            _overlay.Restore(record.Key.Span, record.Record);
            return;
        }

        _stateMachine.Restore(record.Key.Span, record.Record);
        if (record.Space == RecordSpace.Meta && record.Key.Span.SequenceEqual(AppliedTerms.Key))
        {
            _view.Terms.Restore(record.Record);
        }

        if (record.Space == RecordSpace.DotKeys)
        {
            Open?.Restore(record.Space, record.Key.Span, record.Record);
        }
        else if (record.Key.Span.SequenceEqual(MembersCodec.Key))
        {
            _restoredMembers = MembersCodec.DecodeMembers(record.Record);
        }
        else if (record.Key.Span.SequenceEqual(OpenEngine.StateKey))
        {
            _dottedState = record.Record;
        }
        else
        {
            _regimes.Restore(record.Key.Span, record.Record);
        }
    }

    private void ReleaseLog()
    {
        ViewPosition durable = _storage.DurablePosition;
        if (durable != _released)
        {
            _released = durable;
            _storage.ReleaseLog(durable.Applied, durable.Dotted);
        }
    }
}
