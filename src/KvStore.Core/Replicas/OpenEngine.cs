using System.Buffers;
using System.Collections.Immutable;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// The open regime of one shard, on the path of a write: the stored object is looked up (loaded first, if need be), the dotted replica mints a dot, the change goes into log and view, the filled
/// object goes to the other replicas, and the answer leaves where the replication mode says. A lost message is healed by <see cref="OpenHealing"/>.
/// </summary>
internal sealed class OpenEngine
{
    /// <summary>How many records one tick strips of contexts that the clock implies, or removes, because they are deletes; bounds what it loads from disk.</summary>
    private const int StripPerTick = 256;

    /// <summary>How many waiting keys one tick looks at for that: a comparison of two small vectors each.</summary>
    private const int StripLooksPerTick = 4_096;

    /// <summary>What a session waits for comes by itself in a few milliseconds; after this long it was lost, and is fetched.</summary>
    private const int PullForSessionAfterMs = 100;

    private readonly ShardDescriptor _descriptor;
    private readonly RegimeState _regimes;
    private readonly ReplicaPlaces _places;
    private readonly ReplicaOptions _options;
    private readonly ReplicaClock _clock;
    private readonly IReplicaStorage _storage;
    private readonly IPeerTransport _transport;
    private readonly RecordLoader _loader;
    private readonly PeerReachability _peers;
    private readonly CompletionSink _completions;
    private readonly DottedReplica _dotted;
    private readonly DottedJournal _journal;
    private readonly OpenHealing _healing;
    private readonly OpenFreshness _freshness;
    private readonly OpenSessions _sessions;
    private readonly OpenReads _reads;
    private readonly DigestScrub _scrub;
    private readonly ConflictSweeper? _sweeper;
    private readonly MemoryRecovery? _recovery;
    private readonly DigestScan? _digestScan;
    private readonly OpenRequests _requests = new();
    private readonly PendingOpenWrites _writes = new();
    private readonly Queue<(ulong Number, NodeId To, ulong Operation, ActorId Actor)> _acknowledgements = new();
    private readonly ArrayBufferWriter<byte> _scratch = new(256);
    private readonly OpenExpirer _expirer;
    private readonly OpenPublisher _publisher;
    private readonly OpenMint _mint;
    private ImmutableArray<NodeId> _peersInMasks;
    private int _lastPulledForSession;

    /// <summary>The data is the log's again. What still waited for the disk finds nothing to do.</summary>
    private bool _isRetired;

    /// <param name="descriptor">What the shard is.</param>
    /// <param name="regimes">What is in force, and what the data held when the open period began here.</param>
    /// <param name="places">Who the replicas are.</param>
    /// <param name="options">Bounds and timing.</param>
    /// <param name="clock">Time.</param>
    /// <param name="storage">Log and view.</param>
    /// <param name="transport">To the other replicas, within this open period.</param>
    /// <param name="view">Where the view stands: the numbers of dotted records go on from there.</param>
    /// <param name="loader">For records that only the disk has.</param>
    /// <param name="peers">Who can be reached.</param>
    /// <param name="completions">Where answers go.</param>
    /// <param name="random">For a fresh actor.</param>
    public OpenEngine(
        ShardDescriptor descriptor,
        RegimeState regimes,
        ReplicaPlaces places,
        ReplicaOptions options,
        ReplicaClock clock,
        IReplicaStorage storage,
        IPeerTransport transport,
        ViewState view,
        RecordLoader loader,
        PeerReachability peers,
        CompletionSink completions,
        ExpiryIndex expiries,
        ExpiryScan expiryScan,
        Random random)
    {
        _descriptor = descriptor;
        _regimes = regimes;
        _places = places;
        _peersInMasks = places.Peers;
        _options = options;
        _clock = clock;
        _storage = storage;
        _transport = transport;
        _loader = loader;
        _peers = peers;
        _completions = completions;

        // A fresh actor at every start: what an earlier one had minted and lost with an unsynced tail can then never be minted twice.
        MemoryRecords? memory = descriptor.IsInMemory ? new MemoryRecords(descriptor.MemoryBytes) : null;
        _dotted = new DottedReplica(ActorId.Draw(random), 0, regimes.ClockAtOpening(), places.Peers, memory is null ? options.Dotted : DottedOptions.ForMemory);
        _dotted.BeginAt(view.Dotted);
        _journal = new DottedJournal(storage, view, loader, memory) { Evicted = _dotted.Evict };
        _journal.Restore(view.Dotted);
        _recovery = memory is null ? null : new MemoryRecovery(descriptor, places, clock, _dotted, _journal, storage, peers);
        _healing = new OpenHealing(descriptor, places, options, _dotted, _journal, storage, transport, loader);
        _publisher = new OpenPublisher(descriptor.Shard, places, transport, _journal);
        if (descriptor.Conflicts == ConflictRule.LastWriterWins)
        {
            _sweeper = new ConflictSweeper(descriptor, places, options, clock, _dotted, _journal, _healing, loader, _publisher, peers);
        }

        _journal.Changed = OnChanged;
        _freshness = new OpenFreshness(descriptor, places, options, clock, _dotted, transport, peers, completions);
        _freshness.OnMembersChanged();
        _sessions = new OpenSessions(regimes, _dotted);
        _digestScan = memory is not null ? null : new DigestScan(_dotted.Digests, loader, options);
        _expirer = new OpenExpirer(descriptor, places, peers, expiries, expiryScan, storage, loader, clock, _dotted, _journal, _publisher);
        _mint = new OpenMint(descriptor, places, options, clock, _dotted, _healing, _expirer, _sweeper, completions);
        _reads = new OpenReads(descriptor, places, options, clock, _dotted, _journal, loader, transport, peers, _freshness, _sessions, completions, _healing, _expirer);
        _scrub = new DigestScrub(descriptor, places, _dotted, transport);
        if (memory is null)
        {
            // In memory each replica evicts for itself: equal clocks say nothing about what is held.
            _healing.QuietRound = _scrub.Offer;
        }
    }

    /// <summary>The Meta record that holds the state of the dotted engine.</summary>
    public static ReadOnlySpan<byte> StateKey => "dotted"u8;

    /// <summary>The shard is closing: nothing is written or taken here any more but what the leader's baseline asks for.</summary>
    public bool IsClosing
    {
        get => _healing.IsClosing;
        set => _healing.IsClosing = value;
    }

    /// <summary>All that was seen here. Not to be changed.</summary>
    public ShardClock Clock => _dotted.Clock;

    public bool IsRecovering => _dotted.IsRecovering;

    /// <summary>Nothing of another replica is on its way into the data, and all that is in it is durable.</summary>
    public bool IsAtRest => _healing.IsAtRest && _dotted.Number <= _journal.Durable;

    /// <summary>Whether everything that the entry with which this open period began had behind it has reached this replica: one that skipped part of the log copies it.</summary>
    public bool HasWholePrefix => _dotted.Clock.BaseOf(ActorId.Log) >= _regimes.Current.Episode.Value;

    public int PendingCount => _writes.Count + _reads.PendingCount + _freshness.WaitingCount;

    /// <summary>Something waits for the log.</summary>
    public bool WaitsForDurable => _journal.Waits;

    /// <summary>Nothing is on its way and no peer is known to lack anything: <see cref="OpenHealing.OnQuietTicks"/> takes the place of <see cref="OnTick"/>.</summary>
    public bool IsQuiet => PendingCount == 0 && !WaitsForDurable && _acknowledgements.Count == 0 && _healing.IsQuiet
        && !_dotted.MayStrip && !_dotted.HasIndexRemovals && (_digestScan?.IsIdle ?? true) && _expirer.IsQuiet && _storage.UnsealedBytes == 0 && (_sweeper?.IsQuiet ?? true);

    public OpenHealing Healing => _healing;

    public DottedReplica Dotted => _dotted;

    /// <summary>Values that this replica has dropped because others won, since its start.</summary>
    public long LosersDropped => _sweeper?.LosersDropped ?? 0;

    public string DescribeClock() => _dotted.Clock.ToString();

    public OpenStatus Describe() => new()
    {
        IsRecovering = _dotted.IsRecovering,
        IndexedDots = _dotted.IndexedDots,
        UncoveredContexts = _dotted.UncoveredContexts,
        MayStrip = _dotted.MayStrip || _dotted.HasIndexRemovals,
        HasDigests = _dotted.Digests.AreComplete,
        Comparisons = _scrub.Comparisons,
        DifferentBuckets = _scrub.DifferentBuckets,
    };

    public long DifferencesFound => _scrub.Found;

    public BucketDigests? CaptureDigests() => _dotted.Digests.AreComplete ? _dotted.Digests.Capture() : null;

    public void Submit(in ClientOperation operation)
    {
        if (PendingCount >= _options.MaxPending)
        {
            _completions.Refuse(operation, RefusalCode.Overloaded, "Too many operations wait on this shard; slow down and try again.");
            return;
        }

        switch (operation.Kind)
        {
            case OperationKind.Get or OperationKind.Scan or OperationKind.Put or OperationKind.Delete or OperationKind.Increment or OperationKind.Transaction
                when !_completions.Admit(operation, RequestClasses.Of(operation)):
                break;
            case OperationKind.Get or OperationKind.Scan:
                _reads.Submit(operation);
                break;
            case OperationKind.Increment when operation.Condition != WriteCondition.None:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "An increment has no condition: it applies to whatever the counter is.");
                break;
            case OperationKind.Increment when _journal.Memory is not null:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "Counters are not offered in keyspaces in memory: one that was evicted would begin at zero again. Count in a keyspace with durability disk.");
                break;
            case OperationKind.Put or OperationKind.Delete or OperationKind.Increment:
                Write(operation);
                break;
            default:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "The kind of operation is not known here.");
                break;
        }
    }

    public void Receive(NodeId from, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        switch (kind)
        {
            case DottedMessageKind.Replicate when IsClosing:
                // Whoever sent it has not heard of the closing yet. It keeps the write, and reports it; what a replica here has said to hold must not grow.
                break;
            case DottedMessageKind.Replicate:
                ReceiveWrite(from, ReplicateMessage.Decode(payload));
                break;
            case DottedMessageKind.ReplicateAcknowledged:
                ReceiveAcknowledgement(from, ReplicateAcknowledged.Decode(payload));
                break;
            case DottedMessageKind.ReadRequest:
                _reads.Answer(from, ReadRequest.Decode(payload));
                break;
            case DottedMessageKind.ReadResponse:
                _reads.OnResponse(from, ReadResponse.Decode(payload));
                break;
            case DottedMessageKind.ClockAdvertised:
                ClockAdvertised advertised = ClockAdvertised.Decode(payload);
                CountAdvertised(from, advertised);
                _recovery?.OnAdvertised(from, advertised.Recovering);
                _freshness.OnAdvertised(from, advertised);
                _healing.OnAdvertised(from, advertised);
                break;
            case DottedMessageKind.ClockAsked:
                _freshness.Answer(from, ClockAsked.Decode(payload));
                break;
            case DottedMessageKind.ClockTold:
                if (_freshness.OnTold(from, ClockTold.Decode(payload)))
                {
                    _healing.PullSoonFrom(from);
                }
                break;
            case DottedMessageKind.Digests when _journal.Memory is not null:
                break;
            case DottedMessageKind.Digests:
                _scrub.Receive(from, DigestMessage.Decode(payload));
                break;
            default:
                _healing.Receive(from, kind, payload);
                break;
        }
    }

    public void OnDurable(LogPosition position)
    {
        if (_journal.OnDurable(position))
        {
            AfterDurable();
        }
    }

    /// <summary>At the end of each turn: what lives in memory only is as durable as it gets.</summary>
    public void OnTurnEnds()
    {
        if (_journal.TakeMemory())
        {
            AfterDurable();
        }
    }

    private void AfterDurable()
    {
        _dotted.OnDurable(_journal.Durable);
        _healing.OnDurable();
        _publisher.OnDurable();
        while (_acknowledgements.TryPeek(out (ulong Number, NodeId To, ulong Operation, ActorId Actor) next) && next.Number <= _journal.Durable)
        {
            _acknowledgements.Dequeue();
            SendAcknowledgement(next.To, next.Operation, next.Actor);
        }

        AnswerSatisfied();
    }

    public void OnReachabilityChanged()
    {
        AnswerSatisfied();
        _healing.OnReachabilityChanged();
    }

    /// <summary>Whether a peer is known to have a whole copy.</summary>
    public bool IsWhole(NodeId node) => _healing.IsWhole(node);

    /// <summary>Whether all that a peer is known to hold is here as well.</summary>
    public bool HasAllOf(NodeId node) => _dotted.HasAllOf(node);

    /// <summary>For a replica that is no founder: if it has nothing yet, it says so until it has copied everything.</summary>
    public void BeginIfNewcomer()
    {
        if (_dotted.Number == 0)
        {
            if (_recovery is { } recovery)
            {
                recovery.Begin();
            }
            else
            {
                _healing.BeginAsNewcomer();
            }
        }
    }

    /// <summary>The process has restarted. What lived in memory only is copied from a peer.</summary>
    public void BeginAnewInMemory() => _recovery?.Begin();

    public MemoryRecovery? Recovery => _recovery;

    public MemoryRecords? Memory => _journal.Memory;

    public long Evictions => _journal.Evictions;

    /// <summary>A replica that skipped part of the log has what it holds, and copies the rest.</summary>
    public void BeginIfBehind()
    {
        if (!HasWholePrefix && !_dotted.IsRecovering)
        {
            _healing.BeginAsNewcomer();
        }
    }

    /// <summary>What is here and not in a clock, by key.</summary>
    public List<(Key Key, Dot[] Dots)> Unaccounted(ShardClock known, out ulong unmapped) => _dotted.Unaccounted(known, out unmapped);

    /// <summary>The view is about to be replaced: nothing changes it any more, whatever was on its way. What is in it can still be read.</summary>
    public void Freeze()
    {
        _isRetired = true;
        IsClosing = true;
        _healing.Stop();
    }

    /// <summary>The view was replaced under the engine, which is not used any more.</summary>
    public void Close()
    {
        Freeze();
        FailAll(RefusalCode.Switching, "The keyspace has become cp while the operation waited; what was written here is kept and merged.");
    }

    /// <summary>A check over the data at the clock of this moment; null while it is not known.</summary>
    public UInt128? DataSum() => CaptureDigests()?.Fold();

    /// <summary>Takes what waited beside the data, with the context that it had. False: the key is only on the disk.</summary>
    public bool TryAbsorb(Key key, DottedObject frozen, ReadOnlySpan<Dot> dots)
    {
        if (!_journal.TryFind(key.Span, out DottedObject stored))
        {
            return false;
        }

        DottedReceipt receipt = _dotted.Absorb(key, stored, frozen, dots);
        if (receipt.IsNew)
        {
            _journal.Persist(receipt.Change, SyncUrgency.Now);
        }

        return true;
    }

    /// <summary>The stored object of a key with the context that it has here. False: only the disk knows.</summary>
    public bool TryFill(Key key, out DottedObject filled)
    {
        bool found = _journal.TryFind(key.Span, out DottedObject stored);
        filled = found ? _dotted.Fill(key, stored) : DottedObject.Empty;
        return found;
    }

    /// <summary>The shard is ordered, from exactly the data that is here: writes that waited are on a majority. The engine's own records leave the view, and it is not used any more.</summary>
    public void Retire()
    {
        Freeze();
        foreach (ulong operation in _writes.Unanswered())
        {
            Answer(operation, PartitionPolicy.Majority(_places.Members.Config.Voters.Length), degraded: false);
        }

        _reads.FailAll(RefusalCode.Switching, "The keyspace has become cp while the read waited; try again.");
        _storage.Remove(RecordSpace.Meta, StateKey);
        _dotted.ForgetKeysOfDots();
        WriteIndexChanges();
    }

    public void OnMembersChanged(ShardMembers earlier)
    {
        ImmutableArray<NodeId> earlierPeers = _peersInMasks;
        _peersInMasks = _places.Peers;
        _dotted.SetPeers(_places.Peers);
        _freshness.OnMembersChanged();
        _healing.OnMembersChanged(earlier);
        foreach (ulong operation in _writes.Unanswered())
        {
            ref PendingOpenWrite write = ref _writes.Find(operation);
            write.HeldBy = _places.Translate(earlierPeers, write.HeldBy);
        }

        AnswerSatisfied();
    }

    /// <summary>Once per turn, when the inputs are in.</summary>
    public void OnTurn() => _freshness.OnTurn();

    /// <param name="sessionWaitMs">How long an operation of a session has waited here for what is missing.</param>
    public void OnTick(long sessionWaitMs)
    {
        if (sessionWaitMs >= PullForSessionAfterMs)
        {
            PullForSession();
        }

        _freshness.OnTick();
        foreach (ulong operation in _writes.Unanswered())
        {
            ref PendingOpenWrite write = ref _writes.Find(operation);
            if (write.DeadlineMs <= _clock.NowMs)
            {
                _completions.Unknown(write.Handle, RefusalCode.DeadlineExceeded, "Too few replicas confirmed the write in time; it is here and will spread.");
                _requests.NoteAnswer(operation, new OpenAnswer(OpenAnswerState.Unresolved));
                _writes.Remove(operation);
            }
        }

        _reads.OnTick();
        _healing.OnTick();
        if (!IsClosing)
        {
            // Whatever is minted while the shard closes would be no part of the baseline.
            _expirer.OnTick();
            _sweeper?.OnTick();
        }

        _digestScan?.OnTick();
        if (_recovery is not null)
        {
            // There is no view that would have to learn of them.
            _recovery.OnTick();
            _dotted.TakeIndexChanges();
            _dotted.TakeIndexRemovals();
        }

        foreach (ReadOnlyMemory<byte> recordKey in _dotted.TakeIndexRemovals())
        {
            _storage.Remove(RecordSpace.DotKeys, recordKey.Span);
        }

        foreach (Key key in _dotted.TakeStrippable(StripLooksPerTick, StripPerTick))
        {
            Strip(key);
        }
    }

    /// <summary>So many ticks have passed while the shard was quiet.</summary>
    public void OnQuietTicks(int ticks)
    {
        _healing.OnQuietTicks(ticks);
        if (!IsClosing)
        {
            _expirer.OnTick();
        }
    }

    public void FailAll(RefusalCode code, string reason)
    {
        foreach (ulong operation in _writes.Unanswered())
        {
            _completions.Unknown(_writes.Find(operation).Handle, code, reason);
            _writes.Remove(operation);
        }

        _reads.FailAll(code, reason);
        _freshness.FailAll(code, reason);
    }

    /// <summary>Before each seal: the clock, and the keys of dots that some peer may lack.</summary>
    public void WriteState()
    {
        if (_recovery is not null)
        {
            // A clock without the data would claim what is not there.
            return;
        }

        var state = new ArrayBufferWriter<byte>(256);
        _dotted.WriteState(state);
        _storage.Put(RecordSpace.Meta, StateKey, state.WrittenMemory);
        WriteIndexChanges();
    }

    private void WriteIndexChanges()
    {
        foreach (DotKeyChange change in _dotted.TakeIndexChanges())
        {
            if (change.Removes)
            {
                _storage.Remove(RecordSpace.DotKeys, change.RecordKey.Span);
            }
            else
            {
                _storage.Put(RecordSpace.DotKeys, change.RecordKey.Span, change.Key);
            }
        }
    }

    public void Restore(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        if (space == RecordSpace.DotKeys)
        {
            _dotted.RestoreIndexed(key, record.Span);
        }
        else if (_recovery is null && key.SequenceEqual(StateKey))
        {
            _dotted.ReadState(record);
        }
    }

    /// <summary>Repeats the dotted records that came after the last seal.</summary>
    public void Replay(IReadOnlyList<RecoveredRecord> records, ViewState view)
    {
        foreach (RecoveredRecord record in records)
        {
            if (record.Kind != LogRecordKind.Dotted || record.Index.Value <= view.Dotted)
            {
                continue;
            }

            DottedChange? change = _dotted.Replay(record.Index.Value, record.Payload);
            view.AdvanceDotted(record.Index.Value);
            if (change is { } found)
            {
                _journal.PutIntoView(found);
                _expirer.OnChanged(found);
            }
        }

        _recovery?.Replay(records);
        _journal.Restore(_dotted.Number);
    }

    private void Strip(Key key)
    {
        if (_isRetired)
        {
            return;
        }

        if (!_journal.TryFind(key.Span, out DottedObject stored))
        {
            _loader.Load(RecordSpace.Data, key.Span, () => Strip(key));
            return;
        }

        DottedObject stripped = _dotted.Strip(stored);
        if (stripped.IsVacant)
        {
            _journal.Forget(key, stored);
        }
        else if (!ReferenceEquals(stripped, stored))
        {
            var record = new ArrayBufferWriter<byte>(128);
            stripped.Encode(record);
            _storage.Put(RecordSpace.Data, key.Span, record.WrittenMemory);
        }
    }

    private void OnChanged(DottedChange change)
    {
        _healing.OnChanged(change);
        _sweeper?.OnChanged(change);
        _expirer.OnChanged(change);
    }

    private void Write(in ClientOperation operation)
    {
        VersionVector? context = null;
        if (operation.Condition == WriteCondition.InContext)
        {
            try
            {
                // No version is the context of who has seen nothing: the value joins whatever is there.
                context = operation.Version.IsEmpty ? VersionVector.Empty : ContextOf(operation.Version);
            }
            catch (MalformedRecordException)
            {
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "The version is none of this keyspace's: pass one back as a read of the same keyspace returned it.");
                return;
            }
        }

        if (!_journal.TryFind(operation.Key.Span, out DottedObject stored))
        {
            ClientOperation parked = operation;
            _loader.Load(RecordSpace.Data, operation.Key.Span, () => Write(parked));
            return;
        }

        if (_requests.TryRepeat(operation, out ulong earlier))
        {
            AnswerRepeated(operation, earlier);
            return;
        }

        if (IsClosing)
        {
            RefuseClosing(operation);
            return;
        }

        if (operation.Epoch.Value != 0 && operation.Epoch < _regimes.Epoch)
        {
            _completions.RefuseForEpoch(operation);
            return;
        }

        if (_sweeper is not null && operation.Kind is (OperationKind.Put or OperationKind.Increment) && Math.Abs(_clock.OffsetMs) > _options.MaxClockDriftMs)
        {
            _completions.Refuse(
                operation,
                RefusalCode.ClockSkew,
                $"This node's clock is {Math.Abs(_clock.OffsetMs)} ms {(_clock.OffsetMs > 0 ? "ahead of" : "behind")} its peers', and at most {_options.MaxClockDriftMs} ms are allowed where the newest of concurrent writes wins. "
                    + "Write through another node, and set the clock right (NTP).");
            return;
        }

        if (!_sessions.HasRoom(operation))
        {
            _completions.Refuse(operation, RefusalCode.TooLarge, OpenSessions.TooLong);
            return;
        }

        if (context is not null && _journal.Memory is { } memory && stored.SizeOfValues + operation.Value.Length > memory.MaxBytes / 2)
        {
            _completions.Refuse(
                operation,
                RefusalCode.MemoryFull,
                $"The key's concurrent values would take more than half of the {memory.MaxBytes} bytes that this shard may use; read it and write in that context, or put one value in the place of all.");
            return;
        }

        bool wantsAcknowledgements = _regimes.Replication == Replication.Sync && _places.Peers.Length > 0;
        DottedWrite written = _mint.Mint(operation, context, stored, wantsAcknowledgements ? _writes.Next : 0);
        switch (written.Status)
        {
            case DottedWriteStatus.Written:
                Await(operation, written);
                break;
            case DottedWriteStatus.Repeated:
                AnswerCountedElsewhere(operation, written);
                break;
            default:
                _mint.Refuse(operation, written.Status);
                break;
        }
    }

    private void RefuseClosing(in ClientOperation operation) =>
        _completions.Refuse(operation, RefusalCode.Switching, "The keyspace is on its way from ap to cp, and its replicas become equal; try again in a moment.");

    private void Await(in ClientOperation operation, in DottedWrite written)
    {
        _publisher.Publish(written, _regimes.Replication == Replication.BestEffort ? SyncUrgency.Lazy : SyncUrgency.Now);
        _expirer.OnWritten(written.Change, written.Dot);
        ulong pending = _writes.Add(new PendingOpenWrite
        {
            Handle = operation.Handle,
            DeadlineMs = operation.DeadlineMs,
            Number = written.Change.Number,
            Dot = written.Dot,
            Version = OpenReads.EncodeVersion(written.Written),
            Counter = written.Sum,
            Session = _sessions.After(operation, written.Dot),
        });
        _requests.Remember(operation, pending);
        if (_regimes.Replication == Replication.BestEffort)
        {
            Answer(pending, acknowledgements: 1, degraded: false);
        }
    }

    /// <summary>The increment has come here from the replica that took the first attempt. It is done, on two replicas at least as soon as this one has it on its disk, and says only what is known.</summary>
    private void AnswerCountedElsewhere(in ClientOperation operation, in DottedWrite counted)
    {
        ulong pending = _writes.Add(new PendingOpenWrite
        {
            Handle = operation.Handle,
            DeadlineMs = operation.DeadlineMs,
            Number = _dotted.Number,
            Version = OpenReads.EncodeVersion(counted.Written),
            Counter = counted.Sum,
            IsKnownFromElsewhere = true,
        });
        _requests.Remember(operation, pending);
        AnswerIfSatisfied(pending, ref _writes.Find(pending));
    }

    /// <summary>A version that was read while the log wrote stands for what the log had written up to its index.</summary>
    private static VersionVector ContextOf(ReadOnlyMemory<byte> version) =>
        KvStateMachine.TryReadVersion(version.Span, out LogIndex index) ? VersionVector.Of(Dot.OfLog(index)) : ObjectVersion.Decode(version).Context;

    private void AnswerRepeated(in ClientOperation operation, ulong earlier)
    {
        ref PendingOpenWrite write = ref _writes.Find(earlier);
        if (System.Runtime.CompilerServices.Unsafe.IsNullRef(ref write))
        {
            OpenAnswer answer = _requests.AnswerOf(earlier);
            if (answer.State != OpenAnswerState.Done)
            {
                _completions.Unknown(operation.Handle, RefusalCode.DeadlineExceeded, "The first attempt ran out of time before enough replicas had confirmed it; it is here and will spread.");
                return;
            }

            _completions.Add(new Completion
            {
                Handle = operation.Handle,
                Outcome = Outcome.Done,
                Version = answer.Version,
                Acknowledgements = answer.Acknowledgements,
                Degraded = answer.Degraded,
                Counter = answer.Counter,
                Session = _sessions.Now(operation),
            });
            return;
        }

        // The first attempt still waits: its caller has gone, the answer goes to the one who asks now.
        _completions.Unknown(write.Handle, RefusalCode.DeadlineExceeded, "The same request was sent again; its answer goes to the newer attempt.");
        write.Handle = operation.Handle;
        write.Session = _sessions.Now(operation);
        write.DeadlineMs = operation.DeadlineMs;
    }

    /// <summary>A peer at a time, in turn: the one that has it may be any of them.</summary>
    private void PullForSession()
    {
        for (int i = 0; i < _places.Peers.Length; i++)
        {
            NodeId peer = _places.Peers[++_lastPulledForSession % _places.Peers.Length];
            if (_peers.IsReachable(peer))
            {
                _healing.PullSoonFrom(peer);
                return;
            }
        }
    }

    private void ReceiveWrite(NodeId from, ReplicateMessage message)
    {
        if (!_journal.TryFind(message.Key.Span, out DottedObject stored))
        {
            _loader.Load(RecordSpace.Data, message.Key.Span, () => ReceiveWrite(from, message));
            return;
        }

        if (IsClosing || _isRetired)
        {
            return;
        }

        DottedReceipt receipt = _dotted.Receive(message, stored);
        if (receipt.IsNew)
        {
            foreach (ref readonly DottedValue value in message.Object.Values)
            {
                _clock.Hybrid.Observe(value.Timestamp, (long)_clock.WallMs, _options.MaxClockDriftMs);
            }

            _journal.Persist(receipt.Change, message.WantsAcknowledgement ? SyncUrgency.Now : SyncUrgency.Lazy);
            _expirer.OnWritten(receipt.Change, message.Dot);
        }

        if (!message.WantsAcknowledgement)
        {
            return;
        }

        if (receipt.AcknowledgeAfter <= _journal.Durable)
        {
            SendAcknowledgement(from, message.Operation, message.Dot.Actor);
        }
        else
        {
            _acknowledgements.Enqueue((receipt.AcknowledgeAfter, from, message.Operation, message.Dot.Actor));
        }
    }

    private void SendAcknowledgement(NodeId to, ulong operation, ActorId actor)
    {
        _scratch.ResetWrittenCount();
        _dotted.Acknowledge(operation, actor).Encode(_scratch);
        _transport.Send(_descriptor.Shard, to, DottedMessageKind.ReplicateAcknowledged, _scratch.WrittenSpan);
    }

    private void ReceiveAcknowledgement(NodeId from, in ReplicateAcknowledged acknowledged)
    {
        _dotted.OnAcknowledged(from, acknowledged);
        ref PendingOpenWrite write = ref _writes.Find(acknowledged.Operation);
        int place = _places.PeerIndexOf(from);
        if (place >= 0 && acknowledged.Actor == _dotted.Self && !System.Runtime.CompilerServices.Unsafe.IsNullRef(ref write))
        {
            write.HeldBy |= ReplicaPlaces.BitOf(place);
            AnswerIfSatisfied(acknowledged.Operation, ref write);
        }
    }

    /// <summary>A push or its acknowledgement may have been lost, and the peer has got the write by pulling: its durable clock says so.</summary>
    private void CountAdvertised(NodeId from, ClockAdvertised advertised)
    {
        int place = _places.PeerIndexOf(from);
        if (place < 0 || advertised.Recovering || _regimes.Replication != Replication.Sync)
        {
            return;
        }

        foreach (ulong operation in _writes.Unanswered())
        {
            ref PendingOpenWrite write = ref _writes.Find(operation);
            if ((write.HeldBy & ReplicaPlaces.BitOf(place)) == 0 && advertised.Clock.Covers(write.Dot))
            {
                write.HeldBy |= ReplicaPlaces.BitOf(place);
                AnswerIfSatisfied(operation, ref write);
            }
        }
    }

    private void AnswerSatisfied()
    {
        foreach (ulong operation in _writes.Unanswered())
        {
            ref PendingOpenWrite write = ref _writes.Find(operation);
            if (write.Number > _journal.Durable)
            {
                break;
            }

            AnswerIfSatisfied(operation, ref write);
        }
    }

    /// <summary>Async: durable here. Sync: durable on a majority, or on every replica that can be reached.</summary>
    private void AnswerIfSatisfied(ulong operation, ref PendingOpenWrite write)
    {
        if (write.Number > _journal.Durable)
        {
            return;
        }

        if (write.IsKnownFromElsewhere)
        {
            Answer(operation, 1, degraded: _regimes.Replication == Replication.Sync);
            return;
        }

        int copies = 1 + System.Numerics.BitOperations.PopCount(write.HeldBy);
        if (_regimes.Replication != Replication.Sync || _places.IsMajority(write.HeldBy | ReplicaPlaces.SelfBit))
        {
            Answer(operation, copies, degraded: false);
            return;
        }

        if (!_completions.MayDegrade)
        {
            return;
        }

        for (int i = 0; i < _places.Peers.Length; i++)
        {
            if ((write.HeldBy & ReplicaPlaces.BitOf(i)) == 0 && _places.Votes(i) && _peers.IsReachable(_places.Peers[i]))
            {
                return;
            }
        }

        Answer(operation, copies, degraded: true);
    }

    private void Answer(ulong operation, int acknowledgements, bool degraded)
    {
        ref PendingOpenWrite write = ref _writes.Find(operation);
        _completions.Add(new Completion
        {
            Handle = write.Handle,
            Outcome = Outcome.Done,
            Version = write.Version,
            Acknowledgements = acknowledgements,
            Degraded = degraded,
            Counter = write.Counter,
            Session = write.Session,
        });
        _requests.NoteAnswer(operation, new OpenAnswer(OpenAnswerState.Done, acknowledgements, degraded, write.Version, write.Counter));
        _writes.Remove(operation);
    }
}
