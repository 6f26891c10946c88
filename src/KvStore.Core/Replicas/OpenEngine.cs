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

    private readonly ShardDescriptor _descriptor;
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
    private readonly OpenReads _reads;
    private readonly ConflictSweeper? _sweeper;
    private readonly MemoryRecovery? _recovery;
    private readonly DigestScan? _digestScan;
    private readonly OpenRequests _requests = new();
    private readonly PendingOpenWrites _writes = new();
    private readonly Queue<(ulong Number, NodeId To, ulong Operation, ActorId Actor)> _acknowledgements = new();
    private readonly ArrayBufferWriter<byte> _scratch = new(256);
    private ImmutableArray<NodeId> _peersInMasks;

    public OpenEngine(
        ShardDescriptor descriptor,
        ReplicaPlaces places,
        ReplicaOptions options,
        ReplicaClock clock,
        IReplicaStorage storage,
        IPeerTransport transport,
        ViewState view,
        RecordLoader loader,
        PeerReachability peers,
        CompletionSink completions,
        Random random)
    {
        _descriptor = descriptor;
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
        _dotted = new DottedReplica(ActorId.Draw(random), 0, new ShardClock(), places.Peers, memory is null ? DottedOptions.Default : DottedOptions.ForMemory);
        _journal = new DottedJournal(storage, view, loader, memory) { Evicted = _dotted.Evict };
        _recovery = memory is null ? null : new MemoryRecovery(descriptor, places, clock, _dotted, _journal, storage, peers);
        _healing = new OpenHealing(descriptor, places, options, _dotted, _journal, storage, transport, loader);
        if (descriptor.Conflicts == ConflictRule.LastWriterWins)
        {
            _sweeper = new ConflictSweeper(descriptor, places, options, clock, _dotted, _journal, _healing, loader, transport, peers);
        }

        _journal.Changed = OnChanged;
        _digestScan = memory is null ? new DigestScan(_dotted.Digests, loader, options) : null;
        _reads = new OpenReads(descriptor, places, options, clock, _dotted, _journal, loader, transport, peers, completions, _healing);
    }

    private static ReadOnlySpan<byte> StateKey => "dotted"u8;

    public int PendingCount => _writes.Count + _reads.PendingCount;

    /// <summary>Something waits for the log.</summary>
    public bool WaitsForDurable => _journal.Waits;

    /// <summary>Nothing is on its way and no peer is known to lack anything: <see cref="OpenHealing.OnQuietTicks"/> takes the place of <see cref="OnTick"/>.</summary>
    public bool IsQuiet => PendingCount == 0 && !WaitsForDurable && _acknowledgements.Count == 0 && _healing.IsQuiet
        && !_dotted.MayStrip && !_dotted.HasIndexRemovals && (_digestScan?.IsIdle ?? true) && _storage.UnsealedBytes == 0 && (_sweeper?.IsQuiet ?? true);

    public OpenHealing Healing => _healing;

    /// <summary>Values that this replica has dropped because others won, since its start.</summary>
    public long LosersDropped => _sweeper?.LosersDropped ?? 0;

    public string DescribeClock() => _dotted.Clock.ToString();

    public OpenStatus Describe() => new()
    {
        IsRecovering = _dotted.IsRecovering,
        IndexedDots = _dotted.IndexedDots,
        UncoveredContexts = _dotted.UncoveredContexts,
        MayStrip = _dotted.MayStrip,
        HasDigests = _dotted.Digests.AreComplete,
    };

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
            case OperationKind.Get or OperationKind.Scan or OperationKind.Put or OperationKind.Delete when !_completions.Admit(operation, RequestClasses.Of(operation)):
                break;
            case OperationKind.Get or OperationKind.Scan:
                _reads.Submit(operation);
                break;
            case OperationKind.Put or OperationKind.Delete:
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
                _healing.OnAdvertised(from, advertised);
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
    public void OnTurn()
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

    public void OnMembersChanged(ShardMembers earlier)
    {
        ImmutableArray<NodeId> earlierPeers = _peersInMasks;
        _peersInMasks = _places.Peers;
        _dotted.SetPeers(_places.Peers);
        _healing.OnMembersChanged(earlier);
        foreach (ulong operation in _writes.Unanswered())
        {
            ref PendingOpenWrite write = ref _writes.Find(operation);
            write.HeldBy = _places.Translate(earlierPeers, write.HeldBy);
        }

        AnswerSatisfied();
    }

    public void OnTick()
    {
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
        _sweeper?.OnTick();
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

    public void FailAll(RefusalCode code, string reason)
    {
        foreach (ulong operation in _writes.Unanswered())
        {
            _completions.Unknown(_writes.Find(operation).Handle, code, reason);
            _writes.Remove(operation);
        }

        _reads.FailAll(code, reason);
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
            }
        }

        _recovery?.Replay(records);
        _journal.Restore(_dotted.Number);
    }

    private void OnChanged(DottedChange change)
    {
        _healing.OnChanged(change);
        _sweeper?.OnChanged(change);
    }

    private void Strip(Key key)
    {
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

    private void Write(in ClientOperation operation)
    {
        VersionVector? context = null;
        if (operation.Condition == WriteCondition.InContext)
        {
            try
            {
                // No version is the context of who has seen nothing: the value joins whatever is there.
                context = operation.Version.IsEmpty ? VersionVector.Empty : ObjectVersion.Decode(operation.Version).Context;
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

        if (_sweeper is not null && operation.Kind == OperationKind.Put && Math.Abs(_clock.OffsetMs) > _options.MaxClockDriftMs)
        {
            _completions.Refuse(
                operation,
                RefusalCode.ClockSkew,
                $"This node's clock is {Math.Abs(_clock.OffsetMs)} ms {(_clock.OffsetMs > 0 ? "ahead of" : "behind")} its peers', and at most {_options.MaxClockDriftMs} ms are allowed where the newest of concurrent writes wins. "
                    + "Write through another node, and set the clock right (NTP).");
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

        Mint(operation, context, stored);
    }

    private void Mint(in ClientOperation operation, VersionVector? context, DottedObject stored)
    {
        var key = new Key(operation.Key);

        // Not "condition ? value : null": that null would become an empty value on its way, and a delete would store it.
        ReadOnlyMemory<byte>? value = operation.Kind == OperationKind.Put ? new ReadOnlyMemory<byte>?(operation.Value) : null;
        HybridTimestamp timestamp = _clock.Hybrid.Now((long)_clock.WallMs, _options.MaxClockDriftMs);
        bool sync = _descriptor.Mode.Replication == Replication.Sync;
        ulong number = sync && _places.Peers.Length > 0 ? _writes.Next : 0;
        DottedWrite written = context is null
            ? _dotted.Write(key, stored, value, timestamp, number)
            : _dotted.WriteInContext(key, stored, context, value, timestamp, number);
        if (written.Status == DottedWriteStatus.TooManySiblings && _sweeper is { } sweeper)
        {
            // Nobody sees the losers, so nobody is refused because of them.
            written = _dotted.WriteInContext(key, sweeper.Drop(key, stored), context!, value, timestamp, number);
        }

        if (written.Status != DottedWriteStatus.Written)
        {
            bool tooMany = written.Status == DottedWriteStatus.TooManySiblings;
            _completions.Refuse(
                operation,
                tooMany ? RefusalCode.TooManySiblings : RefusalCode.InvalidArgument,
                tooMany
                    ? $"The key has {DottedOptions.Default.MaxSiblings} concurrent values; read it and write in that context."
                    : "The version speaks of writes that this shard never made; pass one back as a read of the same keyspace returned it.");
            return;
        }

        SyncUrgency urgency = _descriptor.Mode.Replication == Replication.BestEffort ? SyncUrgency.Lazy : SyncUrgency.Now;
        _journal.Persist(written.Change, urgency);
        foreach (NodeId peer in _places.Peers)
        {
            _transport.Send(_descriptor.Shard, peer, DottedMessageKind.Replicate, written.Replicate.Span);
        }

        ReadOnlyMemory<byte> version = OpenReads.EncodeVersion(written.Written);
        ulong pending = _writes.Add(new PendingOpenWrite { Handle = operation.Handle, DeadlineMs = operation.DeadlineMs, Number = written.Change.Number, Dot = written.Dot, Version = version });
        _requests.Remember(operation, pending);
        if (_descriptor.Mode.Replication == Replication.BestEffort)
        {
            Answer(pending, acknowledgements: 1, degraded: false);
        }
    }

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
            });
            return;
        }

        // The first attempt still waits: its caller has gone, the answer goes to the one who asks now.
        _completions.Unknown(write.Handle, RefusalCode.DeadlineExceeded, "The same request was sent again; its answer goes to the newer attempt.");
        write.Handle = operation.Handle;
        write.DeadlineMs = operation.DeadlineMs;
    }

    private void ReceiveWrite(NodeId from, ReplicateMessage message)
    {
        if (!_journal.TryFind(message.Key.Span, out DottedObject stored))
        {
            _loader.Load(RecordSpace.Data, message.Key.Span, () => ReceiveWrite(from, message));
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
        if (place < 0 || advertised.Recovering || _descriptor.Mode.Replication != Replication.Sync)
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

        int copies = 1 + System.Numerics.BitOperations.PopCount(write.HeldBy);
        if (_descriptor.Mode.Replication != Replication.Sync || _places.IsMajority(write.HeldBy | ReplicaPlaces.SelfBit))
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
        });
        _requests.NoteAnswer(operation, new OpenAnswer(OpenAnswerState.Done, acknowledgements, degraded, write.Version));
        _writes.Remove(operation);
    }
}
