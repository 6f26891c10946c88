using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
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
    private readonly ReplicaClock _clock;
    private readonly CompletionSink _completions;
    private readonly PeerReachability _peers;
    private readonly ViewState _view;
    private readonly RecordLoader _loader;
    private readonly KvStateMachine _stateMachine;
    private readonly RaftNode _raft;
    private readonly ConsensusDriver _consensus;
    private readonly OrderedEngine _ordered;
    private readonly SnapshotSender _snapshotSender;
    private readonly SnapshotReceiver _snapshotReceiver;
    private readonly OpenEngine? _open;
    private readonly RecoveredReplica _recovered;
    private long _leaderHeardMs;
    private ViewPosition _released;

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
        _clock = clock;
        _recovered = recovered;
        bool open = descriptor.Mode.Partition == PartitionChoice.Ap;
        _peers = new PeerReachability(descriptor);
        _completions = new CompletionSink(descriptor, open ? Regime.Open : Regime.Ordered, _peers, clock, output);
        _view = new ViewState(options, storage);
        _view.Reset(recovered.Position);
        _loader = new RecordLoader(storage, _view);
        _stateMachine = new KvStateMachine(storage);
        _view.BeforeSeal(_stateMachine.WriteChangedSessions);
        var members = new MembershipConfig(descriptor.Places.Select(place => place.Replica));
        _raft = new RaftNode(options.Raft, descriptor.Self.Replica, members, RecoveredLog.Read(recovered), random);
        var early = new EarlyAcknowledgements(descriptor.MaxLag);
        LostWrites = new LostWriteJournal(descriptor, options, storage, clock, early, _raft.Term);
        _consensus = new ConsensusDriver(descriptor, _raft, storage, transport) { LostWrites = LostWrites };
        var reader = new ViewReader(options, storage, _loader, _completions, EstimateStalenessMs);
        _ordered = new OrderedEngine(descriptor, options, clock, _consensus, _stateMachine, _view, _loader, reader, _completions, early, LostWrites);
        _snapshotSender = new SnapshotSender(descriptor, options, _raft, storage, transport);
        _snapshotReceiver = new SnapshotReceiver(descriptor, _raft, storage, transport, _view)
        {
            BeforeSwitch = () => LostWrites.BeforeSwitch(_raft.EntriesAbove(_raft.CommitIndex).Span, _view.Applied),
        };
        if (open)
        {
            _open = new OpenEngine(descriptor, options, clock, storage, transport, _view, _loader, _peers, _completions, random);
            _view.BeforeSeal(_open.WriteState);
        }

        _leaderHeardMs = clock.NowMs;
    }

    public ShardDescriptor Descriptor { get; }

    /// <summary>Started, and neither fenced nor stopped.</summary>
    public bool IsActive { get; private set; }

    /// <summary>Not null: the replica has stopped serving for good, and why.</summary>
    public string? FencedBecause { get; private set; }

    public bool IsLeader => IsActive && _raft.State == RaftRole.Leader;

    /// <summary>The node that leads, as far as this replica knows.</summary>
    public NodeId LeaderNode => _raft.Leader.IsNone ? default : Descriptor.NodeOf(_raft.Leader);

    public Term Term => _raft.Term;

    /// <summary>What this replica acknowledged early and lost. To be read on its loop.</summary>
    public LostWriteJournal LostWrites { get; }

    /// <summary>Operations and loads that are not answered yet.</summary>
    public int PendingCount => _ordered.PendingCount + _loader.Waiting + (_open?.PendingCount ?? 0);

    public ViewPosition Position => _view.Position;

    /// <summary>Something of this replica waits until the log is durable.</summary>
    public bool WaitsForDurable => _consensus.WaitsForDurable || (_open?.WaitsForDurable ?? false);

    /// <summary>
    /// The node that this operation should be forwarded to: where the shard is ordered and another replica leads. None: submit it here.
    /// </summary>
    public NodeId BetterPlaceFor(in ClientOperation operation)
    {
        bool needsLeader = _open is null && IsActive
            && (operation.Kind is OperationKind.Put or OperationKind.Delete || (operation.Level != ReadLevel.Eventual && !_ordered.MayServeAtReplica(operation)));
        NodeId leader = needsLeader && _raft.State != RaftRole.Leader ? LeaderNode : default;
        return leader == Descriptor.Self.Node || !_peers.IsReachable(leader) ? default : leader;
    }

    /// <summary>A record as it stands here, without any promise of freshness. False where it is absent or not in memory.</summary>
    public bool TryPeek(ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> value, out LogIndex version)
    {
        if (IsActive && _open is null && _storage.Find(RecordSpace.Data, key, out ReadOnlyMemory<byte> record) == RecordLookup.Found)
        {
            OrderedRecord found = OrderedRecord.Decode(record);
            (value, version) = (found.Value, found.Index);
            return true;
        }

        (value, version) = (default, LogIndex.Zero);
        return false;
    }

    /// <summary>Stands for election at once: for the preferred replica of a shard that was just created.</summary>
    public void Campaign()
    {
        if (IsActive && _raft.State == RaftRole.Follower && _raft.Leader.IsNone)
        {
            _raft.Campaign();
        }
    }

    /// <summary>Reads back what the replica remembers of itself, then begins to serve. Until then operations are refused as retryable, and messages are dropped like lost ones.</summary>
    public void Start() => LoadSpace(RecordSpace.Meta, default, () => LoadSpace(RecordSpace.DotKeys, default, () => LoadSpace(RecordSpace.Journal, default, Activate)));

    public void Submit(in ClientOperation operation)
    {
        if (FencedBecause is not null)
        {
            _completions.Refuse(operation, RefusalCode.StorageFailed, $"This replica has stopped serving: {FencedBecause}");
            return;
        }

        if (!IsActive || _view.IsReplacing)
        {
            _completions.Refuse(operation, RefusalCode.Recovering, "This replica is still reading its data; try again in a moment.");
            return;
        }

        if (operation.Epoch.Value != 0 && operation.Epoch != Descriptor.Epoch)
        {
            _completions.Refuse(operation, RefusalCode.StaleEpoch, "The keyspace has changed since the client looked; refresh the topology and try again.");
            return;
        }

        if (_open is not null)
        {
            _open.Submit(operation);
        }
        else
        {
            SubmitOrdered(operation);
        }
    }

    public void Receive(in RaftMessage message)
    {
        if (!IsActive || message.To != Descriptor.Self.Replica || Descriptor.NodeOf(message.From).IsNone)
        {
            return;
        }

        if (message.Kind == RaftMessageKind.SnapshotResponse)
        {
            _snapshotSender.OnAnswer(message);
            return;
        }

        if (_open is not null && message.Commit > _raft.LastIndex && message.Kind == RaftMessageKind.Heartbeat)
        {
            // This replica came back without its disk. The leader remembers more of it than there is; the next leader will not. The group orders no data here, so nothing is at stake meanwhile.
            return;
        }

        _raft.Step(message);
        if (message.From == _raft.Leader)
        {
            _leaderHeardMs = _clock.NowMs;
        }
    }

    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        if (IsActive && !_view.IsReplacing)
        {
            _open?.Receive(from, kind, payload);
        }
    }

    public void Receive(in SnapshotPage page)
    {
        if (!IsActive || page.To != Descriptor.Self.Replica || Descriptor.NodeOf(page.From).IsNone)
        {
            return;
        }

        _snapshotReceiver.OnPage(page);
        _view.IsReplacing = _open is null && _snapshotReceiver.IsCommitting;
    }

    /// <summary>Everything this replica's loop appended up to a position is durable.</summary>
    public void OnDurable(LogPosition position)
    {
        if (IsActive)
        {
            _ordered.OnDurable(position);
            _open?.OnDurable(position);
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
            _snapshotSender.OnScanned(page);
        }
    }

    /// <summary>A snapshot has replaced the view, durably.</summary>
    public void OnInstalled(in ViewPosition position)
    {
        _view.Reset(position);
        _ordered.OnSnapshotInstalled();
        _stateMachine.Clear();
        LoadSpace(RecordSpace.Meta, default, () =>
        {
            _view.IsReplacing = false;
            LostWrites.AfterSwitch(_stateMachine);
            _snapshotReceiver.OnInstalled();
        });
    }

    /// <summary>The node's failure detector has changed its mind about a peer.</summary>
    public void SetReachable(NodeId node, bool reachable)
    {
        if (_peers.Set(node, reachable, _clock.NowMs))
        {
            _open?.OnReachabilityChanged();
        }
    }

    /// <summary>One tick of <see cref="ReplicaOptions.TickMs"/> has passed.</summary>
    public void Tick()
    {
        if (!IsActive)
        {
            return;
        }

        _raft.Tick();
        _ordered.OnTick();
        _open?.OnTick();
        _snapshotSender.OnTick();
        _view.OnTick();
        if (_snapshotReceiver.HasSkipped)
        {
            _ordered.OnSnapshotInstalled();
            _snapshotReceiver.OnInstalled();
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

        _ordered.Turn(_snapshotSender);
        if (_snapshotSender.WantsToBegin)
        {
            _view.Seal();
            _snapshotSender.Begin(_view.Position);
        }

        _view.SealIfFull();
    }

    /// <summary>An invariant broke or the disk failed: this replica serves no more, rather than lie. What was under way is answered as unknown.</summary>
    public void Fence(string reason)
    {
        if (FencedBecause is null)
        {
            FencedBecause = reason;
            IsActive = false;
            _ordered.FailAll(RefusalCode.StorageFailed, reason);
            _open?.FailAll(RefusalCode.StorageFailed, reason);
        }
    }

    /// <summary>The node stops in good order: seal what is applied, answer what waits.</summary>
    public void Stop()
    {
        if (IsActive)
        {
            _view.Seal();
            IsActive = false;
            _ordered.FailAll(RefusalCode.ShuttingDown, "The node is shutting down.");
            _open?.FailAll(RefusalCode.ShuttingDown, "The node is shutting down.");
        }
    }

    /// <summary>Forgets the lost writes up to a number, durably with the next sync. Returns how many those were.</summary>
    public int ClearLostWrites(ulong upTo) => IsActive && !_view.IsReplacing ? LostWrites.Clear(upTo) : 0;

    public ReplicaStatus Describe() => new()
    {
        Descriptor = Descriptor,
        Regime = _open is null ? Regime.Ordered : Regime.Open,
        Role = IsActive ? _raft.State : RaftRole.Follower,
        Term = _raft.Term,
        Leader = LeaderNode,
        Commit = _raft.CommitIndex,
        Applied = _view.Applied,
        LastIndex = _raft.LastIndex,
        Clock = _open?.DescribeClock() ?? "",
        PeerLag = _open?.PeerLag ?? 0,
        Fenced = FencedBecause ?? (IsActive ? "" : "starting"),
    };

    private void SubmitOrdered(in ClientOperation operation)
    {
        switch (operation.Kind)
        {
            case OperationKind.Get or OperationKind.Scan:
                _ordered.Read(operation);
                break;
            case OperationKind.Put or OperationKind.Delete when operation.Condition == WriteCondition.InContext:
                _completions.Refuse(operation, RefusalCode.LevelNotOffered, "Writes in context are for ap keyspaces; in a cp keyspace use if-version.");
                break;
            case OperationKind.Put or OperationKind.Delete:
                _ordered.Write(operation);
                break;
            default:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "The kind of operation is not known here.");
                break;
        }
    }

    private void Activate()
    {
        LostWrites.Replay(_recovered.Records);
        _open?.Replay(_recovered.Records, _view);
        IsActive = true;
    }

    /// <summary>Reads one of the replica's own spaces back into memory, page by page.</summary>
    private void LoadSpace(RecordSpace space, ReadOnlyMemory<byte> after, Action then)
    {
        const int PageRecords = 1_000;
        _loader.Scan(space, default, after, PageRecords, _options.ScanPageBytes, page =>
        {
            foreach (ScannedRecord record in page.Records)
            {
                if (space == RecordSpace.Journal)
                {
                    LostWrites.Restore(record.Key.Span, record.Record.Span);
                    continue;
                }

                _stateMachine.Restore(record.Key.Span, record.Record.Span);
                _open?.Restore(space, record.Key.Span, record.Record);
            }

            if (page.More)
            {
                LoadSpace(space, page.Records[^1].Key, then);
            }
            else
            {
                then();
            }
        });
    }

    private void ReleaseLog()
    {
        ViewPosition durable = _storage.DurablePosition;
        if (durable != _released)
        {
            _released = durable;
            _storage.ReleaseLog(durable.Applied, durable.Dotted);
        }

        ulong applied = _view.Applied.Value;
        ulong keep = (ulong)_options.KeepEntries;
        if (applied > keep && applied - keep >= _raft.FirstIndex.Value + (ulong)_options.CompactStep)
        {
            _raft.Compact(new LogIndex(applied - keep));
        }
    }

    private uint EstimateStalenessMs() => IsLeader ? 0 : (uint)Math.Clamp(_clock.NowMs - _leaderHeardMs, 0, uint.MaxValue);
}
