using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas.Overlays;

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
    private readonly ReplicaParts _parts;
    private readonly RegimeEngines _engines;
    private readonly ReplicaRestore _restore;
    private readonly ReplicaDescription _description;
    private readonly ViewPeek _peek;
    private readonly RecoveredReplica _recovered;

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
        _recovered = recovered;
        _parts = ReplicaParts.Create(descriptor, options, storage, transport, recovered.Position, clock, output);
        _engines = new RegimeEngines(_parts, random);
        _restore = new ReplicaRestore(_parts, _engines, recovered);
        _description = new ReplicaDescription(_parts, _engines);
        _peek = new ViewPeek(_parts);
        _parts.View.BeforeSeal(() => Open?.WriteState());
    }

    public ShardDescriptor Descriptor { get; }

    /// <summary>What watches need of this replica; null where changes are not noted.</summary>
    public Watching.ReplicaWatch? Watch => _engines.Watch;

    /// <summary>How the shard is run, as of the applied index.</summary>
    public ShardRegime CurrentRegime => _parts.Regimes.Current;

    /// <summary>This replica leads, and the shard has this mode and keeps it until somebody asks for another. What <see cref="CurrentRegime"/> says may be about to pass.</summary>
    public bool StaysIn(KeyspaceMode mode) => IsLeader && _engines.Group!.Switch.StaysIn(mode);

    /// <summary>Started, and neither fenced nor stopped.</summary>
    public bool IsActive { get; private set; }

    /// <summary>Not null: the replica has stopped serving for good, and why.</summary>
    public string? FencedBecause { get; private set; }

    public bool IsLeader => IsActive && Group!.IsLeader;

    /// <summary>This replica was removed from the shard for good, as far as it knows: it serves nothing, and what it has on the disk can go.</summary>
    public bool IsRemoved => _parts.Places.IsRemoved;

    /// <summary>False: the members don't know this replica, or know it no more. It has nothing to say about the shard's data.</summary>
    public bool HasPlace => !IsActive || (!_parts.Places.IsRemoved && _parts.Places.IsMember);

    /// <summary>The members as of the applied index.</summary>
    public ShardMembers Members => _parts.Places.Members;

    /// <summary>Set since this start if the shard had lost its majority with <see cref="ReplicaOptions.GivenUp"/>.</summary>
    public QuorumLoss? QuorumLoss { get; private set; }

    /// <summary>The node that leads, as far as this replica knows.</summary>
    public NodeId LeaderNode => Group?.LeaderNode ?? default;

    public Term Term => Group?.Raft.Term ?? Term.Zero;

    /// <summary>What this replica acknowledged early and lost. To be read on its loop.</summary>
    public LostWriteJournal LostWrites => _parts.LostWrites;

    /// <summary>Bytes of writes made outside the log that wait here to be merged, and for how long the oldest has waited.</summary>
    public (long Bytes, ulong AgeMs) OverlayState => _parts.Overlay.Bytes == 0 ? default : (_parts.Overlay.Bytes, _parts.Overlay.AgeMs);

    /// <summary>This replica answers without a leader, and says so with every answer.</summary>
    public bool IsProvisional => Provisional is { IsServing: true };

    private OpenEngine? Open => _engines.Open;

    private ConsensusGroup? Group => _engines.Group;

    private ProvisionalEngine? Provisional => _engines.Provisional;

    /// <summary>Operations and loads that are not answered yet.</summary>
    public int PendingCount => _engines.PendingCount + _parts.Loader.Waiting;

    public ViewPosition Position => _parts.View.Position;

    /// <summary>Data in memory only: objects evicted since the start, and losses of all replicas that were declared here since the start.</summary>
    public (long Evictions, long Losses) Memory => (Open?.Evictions ?? 0, Open?.Recovery?.LossesSinceStart ?? 0);

    /// <summary>Data in memory only: there is nothing here yet, and a peer that has it can be reached or may turn up in a moment.</summary>
    public bool AwaitsCopy => Descriptor.IsInMemory && FencedBecause is null && !_parts.Places.IsRemoved && (!IsActive || (Open?.Recovery?.AwaitsCopy ?? false));

    /// <summary>Last-writer-wins: values that this replica has dropped because others won, since its start.</summary>
    public long LosersDropped => Open?.LosersDropped ?? 0;

    /// <summary>
    /// Nothing is under way here or in the group: the loop calls <see cref="TickQuiet"/> now and then instead of <see cref="Tick"/>. Whatever is handed to the replica may end that, so the loop looks
    /// again after each <see cref="Turn"/>.
    /// </summary>
    public bool IsQuiet => FencedBecause is not null
        || (IsActive && _engines.IsQuiet && _parts.Loader.Waiting == 0 && _parts.View.IsSealed && !_parts.View.IsReplacing);

    /// <summary>Something of this replica waits until the log is durable.</summary>
    public bool WaitsForDurable => _engines.WaitsForDurable;

    /// <summary>
    /// The node that this operation should be forwarded to: where the shard is ordered and another replica leads. None: submit it here.
    /// </summary>
    public NodeId BetterPlaceFor(in ClientOperation operation) => IsActive ? _engines.BetterPlaceFor(operation) : default;

    /// <summary>A record as it stands here, without any promise of freshness. False where it is absent or not in memory.</summary>
    public bool TryPeek(ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> value, out LogIndex version)
    {
        (value, version) = (default, LogIndex.Zero);
        return IsActive && _peek.TryPeek(key, out value, out version);
    }

    /// <inheritdoc cref="IReplicaStorage.WarmPays"/>
    public bool WarmPays => Open is { } open ? open.WarmPays : _parts.Storage.WarmPays;

    /// <summary>Whether an operation looks its key up as soon as it is submitted.</summary>
    public bool LooksUpAtOnce(in ClientOperation operation) => Open is not null || operation is { IsWrite: false, Level: ReadLevel.Eventual };

    /// <summary>Whether a message of a peer makes its receiver look a key up, and which.</summary>
    /// <param name="keyHash">Of the key.</param>
    public bool LooksUp(DottedMessageKind kind, ReadOnlyMemory<byte> payload, out int keyHash)
    {
        ReadOnlyMemory<byte> key = kind == DottedMessageKind.Replicate && Open is not null ? ReplicateMessage.PeekKey(payload) : default;
        keyHash = KeyHash.Of(key.Span);
        return !key.IsEmpty;
    }

    /// <inheritdoc cref="IReplicaStorage.Warm"/>
    public int Warm(int keyHash, WarmStep step) => Open is { } open ? open.Warm(keyHash, step) : _parts.Storage.Warm(RecordSpace.Data, keyHash, step);

    /// <summary>Stands for election at once: for the preferred replica of a shard that was just created.</summary>
    public void Campaign()
    {
        if (IsActive && Group!.Raft is { State: RaftRole.Follower, Leader.IsNone: true } raft)
        {
            raft.Campaign();
        }
    }

    /// <summary>Reads back what the replica remembers of itself, then begins to serve. Until then operations are refused as retryable, and messages are dropped like lost ones.</summary>
    public void Start() => _restore.ReadAll(Activate);

    public void Submit(in ClientOperation operation)
    {
        if (FencedBecause is not null)
        {
            _parts.Completions.Refuse(operation, RefusalCode.StorageFailed, $"This replica has stopped serving: {FencedBecause}");
            return;
        }

        if (_parts.Places.IsRemoved)
        {
            _parts.Completions.Refuse(operation, RefusalCode.ReplicaRemoved, "This replica was removed from its shard; refresh the topology and ask another one.");
            return;
        }

        if (!IsActive || _parts.View.IsReplacing)
        {
            _parts.Completions.Refuse(operation, RefusalCode.Recovering, "This replica is still reading its data; try again in a moment.");
            return;
        }

        if (!_parts.Places.IsMember)
        {
            // Its view is the shard's as of an index at which nobody knew it, or empty: no answer at all is better than that one.
            _parts.Completions.Refuse(operation, RefusalCode.Recovering, "This replica is new and has not got the shard's data yet; ask another one.");
            return;
        }

        if (operation.Session.IsEmpty || _engines.Sessions.TryPass(operation))
        {
            _engines.Serve(operation);
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

        Group!.Receive(from, message);
    }

    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        // A source takes a newcomer's place among the peers before it captures anything for it; so a newcomer waits until the members know it.
        if (!IsActive || _parts.View.IsReplacing || _parts.Places.IsRemoved || (_parts.Places.PeerIndexOf(from) < 0 && _parts.Places.IsMember))
        {
            return;
        }

        _engines.Receive(from, kind, payload);
    }

    public void Receive(NodeId from, in SnapshotPage page)
    {
        if (IsActive && page.To == Descriptor.Self.Replica)
        {
            Group!.Receive(from, page);
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
        if (CanBegin(handle))
        {
            Group!.Membership.Begin(handle, voters, learners, deadlineMs);
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
        if (CanBegin(handle))
        {
            Group!.Switch.Begin(handle, wanted, deadlineMs);
        }
    }

    /// <summary>How far early acknowledgements may run ahead from now on. A setting of this replica, not of the log: whoever leads next has been told as well.</summary>
    public void SetMaxLag(MaxLag limit) => _parts.Early.Limit = limit;

    /// <summary>Adaptive: after how long without a leader this replica serves provisionally from now on. A setting of this replica, too: one that is cut off keeps the old one until it hears.</summary>
    public void SetProvisionalAfter(ProvisionalAfter after) => _engines.SetProvisionalAfter(after);

    /// <summary>Hands leadership to the voter on another node. Returns false, and does nothing, if this replica does not lead, that node has no voter, or a transfer is under way.</summary>
    public bool TransferLeadership(NodeId to)
    {
        if (!IsLeader)
        {
            return false;
        }

        ReplicaPlace target = _parts.Places.Members.Places.FirstOrDefault(place => place.Node == to && _parts.Places.Members.Config.Voters.Contains(place.Replica));
        return !target.Replica.IsNone && Group!.Raft.TransferLeadership(target.Replica);
    }

    /// <summary>This replica leads and is handing that over.</summary>
    public bool IsTransferring => IsLeader && Group!.Raft.IsTransferring;

    /// <summary>Everything this replica's loop appended up to a position is durable.</summary>
    public void OnDurable(LogPosition position)
    {
        if (IsActive)
        {
            _engines.OnDurable(position);
        }
    }

    public void OnLoaded(ulong tag)
    {
        if (FencedBecause is null)
        {
            _parts.Loader.OnLoaded(tag);
        }
    }

    public void OnScanned(ScanPage page)
    {
        if (FencedBecause is null && !_parts.Loader.OnScanned(page))
        {
            Group?.OnScanned(page);
        }
    }

    /// <summary>A snapshot has replaced the view, durably.</summary>
    public void OnInstalled(in ViewPosition position)
    {
        _parts.View.Reset(position);
        _parts.Loader.Release();
        Group!.OnViewReplaced();
        _parts.StateMachine.Clear();
        _parts.Expiries.Clear();
        _parts.Regimes.Clear();
        _engines.Periods.OnViewReplaced();
        _peek.OnViewReplaced();
        _restore.ReadMeta(() =>
        {
            _parts.View.IsReplacing = false;
            _parts.ExpiryScan.Begin();
            _parts.Overlay.OnAccounted();
            Group!.OnInstalled(_restore.Members ?? ShardMembers.Founding(Descriptor.Founders));
            _engines.SetProvisional();
            Watch?.OnViewReplaced();
        });
    }

    /// <summary>The node's failure detector has changed its mind about a peer.</summary>
    /// <param name="node">A peer of this shard, or any other node.</param>
    /// <param name="reachable">Whether it is heard and hears this node.</param>
    /// <param name="boot">Which life of the peer is heard: another number after each restart. Zero: not known, and then no group falls silent relying on it.</param>
    public void SetReachable(NodeId node, bool reachable, ulong boot = 0)
    {
        bool restarted = _parts.Peers.SetBoot(node, boot);
        bool changed = _parts.Peers.Set(node, reachable, _parts.Clock.NowMs);
        if (changed)
        {
            Open?.OnReachabilityChanged();
            Provisional?.OnReachabilityChanged();
        }

        if (changed || restarted)
        {
            Group?.OnNewsOf(node, reachable);
        }
    }

    /// <summary>A connection to a peer broke: perhaps its process died. A quiet group finds out, as soon as the detector would begin to count.</summary>
    public void OnPeerLost(NodeId node)
    {
        if (IsActive)
        {
            Group!.OnNewsOf(node, reachable: true);
        }
    }

    /// <summary>One tick of <see cref="ReplicaOptions.TickMs"/> has passed.</summary>
    public void Tick()
    {
        if (!IsActive)
        {
            return;
        }

        _engines.Periods.OnTick();
        Group!.Tick();
        _engines.Sessions.OnTick();
        _description.LookAtLags();
        if (!_parts.Places.IsRemoved && !_parts.View.IsReplacing)
        {
            Open?.OnTick(_engines.Sessions.LongestWaitMs);
            Provisional?.OnTick(Group.LeaderContactMs, Group.Raft.HasQuorumContact);
        }

        _parts.View.OnTick();
        Group.Compact();
        _parts.View.ReleaseLog();
    }

    /// <summary>So many ticks have passed for a quiet replica; once in a few hundred milliseconds is enough.</summary>
    public void TickQuiet(int ticks)
    {
        if (!IsActive)
        {
            return;
        }

        Group!.TickQuiet(ticks);
        if (!_parts.Places.IsRemoved)
        {
            Open?.OnQuietTicks(ticks);
            Provisional?.OnTick(Group.LeaderContactMs, leads: false);
        }

        _parts.View.ReleaseLog();
    }

    /// <summary>The inputs of a loop step are in: act on them.</summary>
    public void Turn()
    {
        if (!IsActive || _parts.View.IsReplacing)
        {
            return;
        }

        _engines.Turn();
        _parts.View.SealIfFull();
    }

    /// <summary>An invariant broke or the disk failed: this replica serves no more, rather than lie. What was under way is answered as unknown.</summary>
    public void Fence(string reason)
    {
        if (FencedBecause is null)
        {
            FencedBecause = reason;
            IsActive = false;
            _engines.FailAll(RefusalCode.StorageFailed, reason);
        }
    }

    /// <summary>The node stops in good order: seal what is applied, answer what waits.</summary>
    public void Stop()
    {
        if (IsActive)
        {
            _parts.View.Seal();
            IsActive = false;
            _engines.FailAll(RefusalCode.ShuttingDown, "The node is shutting down.");
        }
    }

    /// <summary>The keyspace was deleted, or the replica has moved away: answer what waits, and never touch the storage again.</summary>
    public void Close(bool isDeleted = true)
    {
        if (IsActive)
        {
            IsActive = false;
            _engines.FailAll(isDeleted ? RefusalCode.UnknownKeyspace : RefusalCode.ReplicaRemoved, isDeleted ? "The keyspace was deleted." : "This replica has moved to another node.");
        }

        FencedBecause ??= isDeleted ? "the keyspace was deleted" : "it has moved to another node";
    }

    /// <summary>Forgets the lost writes up to a number, durably with the next sync. Returns how many those were.</summary>
    public int ClearLostWrites(ulong upTo) => IsActive && !_parts.View.IsReplacing ? _parts.LostWrites.Clear(upTo) : 0;

    /// <summary>What the data of an open shard comes to at this replica's present clock; null if it is not known yet, because not all records were read since the start, or the shard is ordered.</summary>
    public BucketDigests? CaptureDigests() => IsActive ? Open?.CaptureDigests() : null;

    /// <summary>A check over the requests that are remembered, for comparing replicas at the same applied index; null while a snapshot is being taken over. Looks at all of them.</summary>
    public UInt128? CaptureRequests() => IsActive && !_parts.View.IsReplacing ? _parts.StateMachine.SumOfRequests() : null;

    /// <summary>How often a comparison of digests with a peer, at equal clocks, has come out unequal since the start.</summary>
    public long DigestDifferencesFound => Open?.DifferencesFound ?? 0;

    /// <summary>How far each peer is behind what is durable here. Of an ordered shard: at its leader only.</summary>
    public IReadOnlyList<PeerLag> DescribeLags() => _description.DescribeLags(IsActive);

    public ReplicaStatus Describe() => _description.Describe(this);

    private void Activate()
    {
        _parts.Places.Set(_restore.Members ?? _parts.Places.Members);
        RecoveredReplica recovered = _recovered;
        QuorumLoss = QuorumLossRecovery.Recover(_parts.Places, _parts.Options.GivenUp, _parts.Storage, ref recovered);
        _engines.Begin(recovered);
        _restore.ReplayOverlay();
        _engines.Resume(_recovered);
        _parts.ExpiryScan.Begin();
        IsActive = true;
    }

    /// <summary>Whether a change that was asked for can be begun; otherwise it is refused.</summary>
    private bool CanBegin(ulong handle)
    {
        var asked = new ClientOperation { Handle = handle };
        if (FencedBecause is not null)
        {
            _parts.Completions.Refuse(asked, RefusalCode.StorageFailed, $"This replica has stopped serving: {FencedBecause}");
            return false;
        }

        if (!IsActive || _parts.View.IsReplacing)
        {
            _parts.Completions.Refuse(asked, RefusalCode.Recovering, "This replica is still reading its data; try again in a moment.");
            return false;
        }

        return true;
    }

    private void OnToldRemoved()
    {
        if (!_parts.Places.IsRemoved)
        {
            _parts.Places.NoteRemoved();
            _engines.StopServing();
        }
    }
}
