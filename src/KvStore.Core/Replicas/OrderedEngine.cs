using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas.Transactions;
using KvStore.Core.Versioning;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Replicas;

/// <summary>
/// The ordered regime of one shard, on the path of a request:
/// <list type="number">
/// <item>A write is checked, encoded once (<see cref="WriteCommand"/>) and proposed; all writes of a turn leave in one append message per follower.</item>
/// <item>It is answered where its keyspace's replication says: applied (sync, and every conditional write), durable here (async), queued (best-effort).</item>
/// <item>A linearizable read joins the batch of its turn, waits for the batch's ReadIndex and for the apply, and is answered from the view.</item>
/// <item>A stale read is answered from the view as it stands; so is one of a session, which has passed the <see cref="SessionGate"/>.</item>
/// <item>A bounded read too, if a confirmation that is fresh enough was applied; otherwise it joins the batch for another.</item>
/// </list>
/// </summary>
internal sealed class OrderedEngine(
    ShardDescriptor descriptor,
    RegimeState regimes,
    RegimeSwitch switcher,
    ReplicaPlaces places,
    ShardMembership members,
    ReplicaOptions options,
    ReplicaClock clock,
    ConsensusDriver consensus,
    KvStateMachine stateMachine,
    ViewState view,
    RecordLoader loader,
    ViewReader reader,
    CompletionSink completions,
    EarlyAcknowledgements early,
    LostWriteJournal lostWrites,
    OrderedExpirer expirer)
{
    private readonly RaftNode _raft = consensus.Raft;
    private readonly PendingWrites _writes = new();
    private readonly PendingReads _reads = new();
    private readonly PayloadArena _arena = new();
    private readonly List<ulong> _expired = [];
    private readonly List<ClientOperation> _expiredReads = [];

    private readonly ushort _earlyMark = WriteCommand.EarlyMarkOf(descriptor.Self.Replica);

    /// <summary>Requests proposed in this term that are not applied yet. Empty in sync mode.</summary>
    private readonly HashSet<(ulong Session, ulong Sequence)> _unapplied = [];

    /// <summary>All that was acknowledged before this moment, on the loop's clock, is applied here: a quorum has confirmed it. The one measure of age that trusts no clock and no message's time in flight.</summary>
    private long _freshAsOfMs = long.MinValue;

    /// <summary>The newest index acknowledged before its commit: leader reads wait for it, so that an early acknowledgement is never followed by an older answer.</summary>
    private LogIndex _acknowledgedEarly;
    private bool _loadingForApply;

    /// <summary>The term that <see cref="_writes"/>, <see cref="_unapplied"/> and <see cref="_acknowledgedEarly"/> belong to.</summary>
    private Term _term;

    public int PendingCount => _writes.Count + _reads.Count;

    /// <summary>What must go on even where no client asks for anything.</summary>
    public OrderedExpirer Expirer => expirer;

    private bool AcknowledgesEarly => regimes.Replication != Replication.Sync;

    /// <summary>How old the view may be, as far as a quorum has confirmed; the largest number if it never has.</summary>
    public uint ConfirmedStalenessMs => _freshAsOfMs == long.MinValue ? uint.MaxValue : (uint)Math.Clamp(clock.NowMs - _freshAsOfMs, 0, uint.MaxValue);

    /// <summary>Async modes: only the acknowledging replica syncs at once; the others may ride along.</summary>
    public SyncUrgency Urgency => regimes.Replication switch
    {
        Replication.Sync => SyncUrgency.Now,
        Replication.Async when _raft.State == RaftRole.Leader => SyncUrgency.Now,
        _ => SyncUrgency.Lazy,
    };

    public void Submit(in ClientOperation operation)
    {
        switch (operation.Kind)
        {
            case OperationKind.Get or OperationKind.Scan:
                Read(operation);
                break;
            case OperationKind.Increment when operation.Condition != WriteCondition.None:
                completions.Refuse(operation, RefusalCode.InvalidArgument, "An increment has no condition: it applies to whatever the counter is.");
                break;
            case OperationKind.Transaction when TransactionGate.FindFault(operation, stateMachine.Versions) is { } fault:
                completions.Refuse(operation, RefusalCode.InvalidArgument, fault);
                break;
            case OperationKind.Put or OperationKind.Delete or OperationKind.Increment or OperationKind.Transaction:
                Write(operation);
                break;
            default:
                completions.Refuse(operation, RefusalCode.InvalidArgument, "The kind of operation is not known here.");
                break;
        }
    }

    private void Write(in ClientOperation operation)
    {
        if (!TryReadExpected(operation, out LogIndex expected))
        {
            completions.Refuse(operation, RefusalCode.InvalidArgument, "The version is none of this keyspace's: pass one back as a read of the same keyspace returned it.");
            return;
        }

        if (operation.Condition == WriteCondition.IfVersion && expected == LogIndex.Zero)
        {
            completions.Refuse(operation, RefusalCode.ConditionFailed, "The version is that of an answer which the log has no such state of the key for, a provisional one or one of an open period; read it again.");
            return;
        }

        if (!MayServe(operation))
        {
            return;
        }

        EnterTerm();
        if (switcher.HoldsData)
        {
            completions.Refuse(operation, RefusalCode.Switching, "The keyspace is changing its mode; try again in a moment.");
            return;
        }

        if (operation.Kind == OperationKind.Transaction)
        {
            TransactionGate.ExpireBefore(operation, expirer);
        }
        else if (DependsOnRecord(operation))
        {
            expirer.ExpireBefore(operation.Key.Span);
        }

        Memory<byte> payload = _arena.Take(WriteCommand.SizeOf(operation, descriptor.DefaultTtlMs));
        WriteCommand.Encode(payload.Span, operation, expected, clock.Hybrid.Now((long)clock.WallMs).Packed, regimes.Epoch, descriptor.DefaultTtlMs);
        uint payloadHash = WriteCommand.Decode(payload.Span).PayloadHash;
        if (!operation.Request.IsNone && stateMachine.TryAnswerRepeated(operation.Request, payloadHash, out ApplyResult repeated))
        {
            completions.Add(Answer(operation.Handle, repeated) with { Session = operation.Session.IsEmpty ? default : reader.Position });
            return;
        }

        if (operation.Epoch.Value != 0 && operation.Epoch < regimes.Epoch)
        {
            completions.RefuseForEpoch(operation);
            return;
        }

        Propose(operation, payload);
    }

    /// <summary>The answer to a write that the log took before the shard was opened, and that is sent again: then it is answered as it was. False: nothing is remembered of it.</summary>
    public bool TryAnswerRepeated(in ClientOperation operation)
    {
        if (operation.Request.IsNone)
        {
            return false;
        }

        TryReadExpected(operation, out LogIndex expected);
        byte[] payload = new byte[WriteCommand.SizeOf(operation)];
        WriteCommand.Encode(payload, operation, expected, 0, regimes.Epoch);
        if (!stateMachine.TryAnswerRepeated(operation.Request, WriteCommand.Decode(payload).PayloadHash, out ApplyResult repeated))
        {
            return false;
        }

        completions.Add(Answer(operation.Handle, repeated));
        return true;
    }

    private bool TryReadExpected(in ClientOperation operation, out LogIndex expected)
    {
        expected = LogIndex.Zero;
        if (operation.Condition != WriteCondition.IfVersion)
        {
            return true;
        }

        try
        {
            expected = stateMachine.ReadExpected(operation.Version);
            return true;
        }
        catch (MalformedRecordException)
        {
            return false;
        }
    }

    /// <summary>
    /// Whether a follower may answer this read through ReadIndex. Only where nothing is acknowledged before its commit: the leader's index would not cover that, and a read could be older than an
    /// acknowledgement.
    /// </summary>
    public bool MayServeAtReplica(in ClientOperation operation) =>
        (operation.AtReplica || operation.Level == ReadLevel.Bounded) && !AcknowledgesEarly && !_raft.Leader.IsNone;

    /// <summary>Whether this read can be answered from the view as it is, without asking a leader.</summary>
    public bool MayServeFromView(in ClientOperation operation) => operation.Level switch
    {
        ReadLevel.Eventual or ReadLevel.Session => true,
        ReadLevel.Bounded => ConfirmedStalenessMs <= operation.MaxStalenessMs,
        _ => false,
    };

    private void Read(in ClientOperation operation)
    {
        if (MayServeFromView(operation))
        {
            reader.Serve(operation, stale: true);
            return;
        }

        if (operation.Level == ReadLevel.Bounded)
        {
            ReadBounded(operation);
            return;
        }

        if (!MayServe(operation))
        {
            return;
        }

        ReadResult result = TryOpenBatch();
        if (result != ReadResult.Accepted)
        {
            RefuseToLead(operation, result == ReadResult.Overloaded ? RefusalCode.Overloaded : RefusalCode.NoLeader);
            return;
        }

        _reads.Add(operation);
    }

    /// <summary>What is here is not known to be fresh enough: a quorum is asked, and until it stays silent for too long the read waits.</summary>
    private void ReadBounded(in ClientOperation operation)
    {
        bool mayAsk = _raft.State == RaftRole.Leader ? completions.Decide(RequestClass.LinearizableRead) == PolicyDecision.Serve : MayServeAtReplica(operation) && !LeaderToName.IsNone;
        if (PendingCount >= options.MaxPending)
        {
            completions.Refuse(operation, RefusalCode.Overloaded, "Too many operations wait on this shard; slow down and try again.");
        }
        else if (!mayAsk || TryOpenBatch() != ReadResult.Accepted)
        {
            RefuseTooStale(operation);
        }
        else
        {
            _reads.Add(operation with { DeadlineMs = Math.Min(operation.DeadlineMs, clock.NowMs + options.FreshnessWaitMs) });
        }
    }

    private void RefuseTooStale(in ClientOperation operation)
    {
        string known = ConfirmedStalenessMs == uint.MaxValue ? "has not been confirmed by a quorum yet" : $"was last confirmed by a quorum {ConfirmedStalenessMs} ms ago";
        completions.Refuse(
            operation,
            RefusalCode.TooStale,
            $"What {descriptor.Self.Node} has {known}, and the read allows {operation.MaxStalenessMs} ms. Ask another replica, allow more, or read with level eventual if an older answer will do.",
            LeaderToName);
    }

    private ReadResult TryOpenBatch()
    {
        if (_reads.Gathering is not null)
        {
            return ReadResult.Accepted;
        }

        ReadResult result = _raft.ReadIndex(_reads.Open(clock.NowMs));
        if (result != ReadResult.Accepted)
        {
            _reads.Recycle(_reads.TakeGathering());
        }

        return result;
    }

    private NodeId LeaderToName => _raft.Leader.IsNone || _raft.State == RaftRole.Leader || !completions.IsReachable(places.NodeOf(_raft.Leader)) ? default : places.NodeOf(_raft.Leader);

    /// <summary>Proposes an entry of which nobody waits for an answer. False where this replica doesn't lead, or there is no room.</summary>
    public bool TryPropose(ReadOnlyMemory<byte> payload) => _raft.State == RaftRole.Leader && regimes.IsOrdered && !switcher.HoldsData && _raft.Propose(payload, out _, out _) == ProposeResult.Accepted;

    /// <summary>One turn of the loop is over for this replica: hand everything to Raft, carry out what it wants, apply what is committed, answer.</summary>
    public void Turn(SnapshotSender snapshots)
    {
        _reads.Close();
        switcher.EnterTerm();
        while (_raft.HasReady)
        {
            Ready ready = consensus.Turn(Urgency);
            early.Settle(_raft.CommitIndex);
            foreach (ReadState state in ready.ReadStates)
            {
                OnReadState(state);
            }

            foreach (ReplicaId follower in ready.SnapshotsWanted)
            {
                snapshots.Want(follower);
            }

            if (ready.LeadershipChanged is { } change && change.Role != RaftRole.Leader)
            {
                snapshots.Abort();
                EndLeadership();
                members.OnLeadershipEnded();
                switcher.OnLeadershipEnded();
            }
            else
            {
                EnterTerm();
            }

            Apply();
        }

        AcknowledgeDurable();
        ServeReads();
    }

    public void OnDurable(LogPosition position)
    {
        consensus.OnDurable(position);
        AcknowledgeDurable();
    }

    /// <summary>The view was replaced by a snapshot: what waited to be applied is in it.</summary>
    public void OnSnapshotInstalled()
    {
        consensus.ToApply.Clear();
        _loadingForApply = false;
    }

    /// <summary>The log has ceased to write: reads that wait for its order get none.</summary>
    public void OnOpened() => RefuseAllReads(RefusalCode.Switching, "The keyspace has become ap while the read waited; try again.");

    public void OnTick()
    {
        if (switcher.WaitsForSums)
        {
            Apply();
        }

        const string Late = "The deadline passed before the shard could answer.";
        expirer.OnTick();
        _expired.Clear();
        _writes.TakeExpired(clock.NowMs, _expired);
        foreach (ulong handle in _expired)
        {
            completions.Unknown(handle, RefusalCode.DeadlineExceeded, Late);
        }

        _expiredReads.Clear();
        _reads.TakeExpired(clock.NowMs, _expiredReads);
        foreach (ClientOperation read in _expiredReads)
        {
            if (read.Level == ReadLevel.Bounded)
            {
                RefuseTooStale(read);
            }
            else
            {
                completions.Unknown(read.Handle, RefusalCode.DeadlineExceeded, Late);
            }
        }
    }

    public void FailAll(RefusalCode code, string reason)
    {
        while (_writes.TryTakeAny(out PendingWrite write))
        {
            completions.Unknown(write.Handle, code, reason);
        }

        RefuseAllReads(code, reason);
    }

    private void RefuseAllReads(RefusalCode code, string reason)
    {
        _reads.Close();
        while (_reads.TryTakeAborted(ulong.MaxValue, out List<ClientOperation> operations))
        {
            RefuseReads(operations, code, reason);
        }

        while (_reads.TryTakeReady(new LogIndex(ulong.MaxValue), out List<ClientOperation> operations, out _))
        {
            RefuseReads(operations, code, reason);
        }
    }

    /// <summary>Whether the policy allows it here and now, this replica leads, and there is room; otherwise the operation is refused at once.</summary>
    private bool MayServe(in ClientOperation operation)
    {
        if (!completions.Admit(operation, RequestClasses.Of(operation)))
        {
            return false;
        }

        bool reads = operation.Kind is OperationKind.Get or OperationKind.Scan;
        if (_raft.State != RaftRole.Leader && !(reads && MayServeAtReplica(operation)))
        {
            RefuseToLead(operation, RefusalCode.NoLeader);
            return false;
        }

        if (PendingCount >= options.MaxPending)
        {
            completions.Refuse(operation, RefusalCode.Overloaded, "Too many operations wait on this shard; slow down and try again.");
            return false;
        }

        return true;
    }

    private void RefuseToLead(in ClientOperation operation, RefusalCode code)
    {
        NodeId leader = _raft.Leader.IsNone || _raft.State == RaftRole.Leader ? default : places.NodeOf(_raft.Leader);
        if (!completions.Admit(operation, RequestClasses.Of(operation)))
        {
            return;
        }

        if (code == RefusalCode.Overloaded)
        {
            completions.Refuse(operation, code, "Too many reads wait for a confirmation of leadership; slow down and try again.");
        }
        else if (!leader.IsNone && completions.IsReachable(leader))
        {
            completions.Refuse(operation, RefusalCode.NotLeader, "Another replica leads this shard.", leader);
        }
        else
        {
            completions.Refuse(operation, RefusalCode.NoLeader, "The shard is electing a leader; try again in a moment.");
        }
    }

    private void Propose(in ClientOperation operation, Memory<byte> payload)
    {
        bool mayBeEarly = AcknowledgesEarly && IsSureToApply(operation);
        if (mayBeEarly)
        {
            WriteCommand.MarkEarly(payload.Span, _earlyMark);
        }

        switch (_raft.Propose(payload, out Term term, out LogIndex index))
        {
            case ProposeResult.Accepted:
                if (AcknowledgesEarly && !operation.Request.IsNone)
                {
                    _unapplied.Add((operation.Request.Session, operation.Request.Sequence));
                }

                bool now = mayBeEarly && regimes.Replication == Replication.BestEffort && _raft.HasQuorumContact && TryNoteEarly(index, term, payload.Length);
                _writes.Add(new PendingWrite
                {
                    Index = index,
                    Term = term,
                    Bytes = payload.Length,
                    Handle = now ? 0 : operation.Handle,
                    DeadlineMs = operation.DeadlineMs,
                    Early = mayBeEarly && regimes.Replication == Replication.Async,
                    InSession = !operation.Session.IsEmpty,
                });
                if (now)
                {
                    AcknowledgeEarly(operation.Handle, index, term, !operation.Session.IsEmpty);
                }

                break;
            case ProposeResult.NotLeader:
                RefuseToLead(operation, RefusalCode.NoLeader);
                break;
            default:
                completions.Refuse(operation, RefusalCode.Overloaded, "The shard's log has too much that is not committed yet; slow down and try again.");
                break;
        }
    }

    /// <summary>
    /// Whether an entry with this request will take effect once it is applied, so that it may be acknowledged before. An earlier attempt may be on its way in the log: then that one has the
    /// effect and gives the version, and only the apply can tell.
    /// </summary>
    private bool IsSureToApply(in ClientOperation operation)
    {
        RequestId request = operation.Request;
        return !DependsOnRecord(operation)
            && (request.IsNone || (view.AppliedTerm == _raft.Term && stateMachine.HasRoomFor(request) && !_unapplied.Contains((request.Session, request.Sequence))));
    }

    /// <summary>What becomes of it is known only when it is applied.</summary>
    private static bool DependsOnRecord(in ClientOperation operation) => operation.Condition != WriteCondition.None || operation.Kind is OperationKind.Increment or OperationKind.Transaction;

    /// <summary>Async: what is durable here is acknowledged, as far as the keyspace lets acknowledgements run ahead. What is past that waits for its commit, or for room.</summary>
    private void AcknowledgeDurable()
    {
        if (regimes.Replication != Replication.Async || !_raft.HasQuorumContact || _raft.Term != _term)
        {
            return;
        }

        while (_writes.TryPeekEarly(_raft.StableIndex, out PendingWrite write) && TryNoteEarly(write.Index, write.Term, write.Bytes))
        {
            _writes.TakeEarly();
            AcknowledgeEarly(write.Handle, write.Index, write.Term, write.InSession);
        }
    }

    private bool TryNoteEarly(LogIndex index, Term term, int bytes) => early.TryAdd(index, term, bytes, clock.NowMs, clock.WallMs);

    private void AcknowledgeEarly(ulong handle, LogIndex index, Term term, bool inSession)
    {
        _acknowledgedEarly = LogIndex.Max(_acknowledgedEarly, index);
        completions.Add(new Completion { Handle = handle, Outcome = Outcome.Done, OrderedVersion = index, Acknowledgements = 1, Session = PositionAt(inSession, term, index) });
    }

    /// <summary>A write stands behind all that its session had seen: the gate has looked.</summary>
    private ReadOnlyMemory<byte> PositionAt(bool inSession, Term term, LogIndex index) => inSession ? SessionPosition.OfLog(regimes.Epoch, term, index).ToBytes() : default;

    private void OnReadState(in ReadState state)
    {
        if (!state.Aborted)
        {
            _reads.Confirm(state.Context, LogIndex.Max(state.Index, _acknowledgedEarly));
            return;
        }

        while (_reads.TryTakeAborted(state.Context, out List<ClientOperation> operations))
        {
            RefuseReads(operations, RefusalCode.LeadershipLost, "The leadership moved, or the leader did not answer, while the read waited; try again.");
        }
    }

    private void RefuseReads(List<ClientOperation> operations, RefusalCode code, string reason)
    {
        foreach (ClientOperation operation in operations)
        {
            if (operation.Level == ReadLevel.Bounded && code == RefusalCode.LeadershipLost)
            {
                RefuseTooStale(operation);
            }
            else
            {
                completions.Refuse(operation, code, reason);
            }
        }

        _reads.Recycle(operations);
    }

    /// <summary>Between two turns a leadership can end and another begin here: what waits for the first one must not be taken for the second's.</summary>
    private void EnterTerm()
    {
        if (_term != _raft.Term)
        {
            EndLeadership();
            _term = _raft.Term;
        }
    }

    private void EndLeadership()
    {
        _acknowledgedEarly = LogIndex.Zero;
        _unapplied.Clear();
        while (_writes.TryTakeAny(out PendingWrite write))
        {
            if (write.Handle != 0)
            {
                completions.Unknown(write.Handle, RefusalCode.LeadershipLost, "The leadership moved before the write was known to be committed; it may still be.");
            }
        }
    }

    private void Apply()
    {
        LogIndex before = view.Applied;
        while (!_loadingForApply && consensus.ToApply.TryPeek(out Entry entry))
        {
            bool changesRegime = RegimeEntry.Is(entry);
            if (changesRegime)
            {
                if (!switcher.TryApply(entry))
                {
                    HoldBack();
                    break;
                }
            }
            else if (entry.Kind == EntryKind.Data && IsOfAnotherEpoch(entry))
            {
                ForgetUnapplied(entry);
                lostWrites.OnRejected(entry);
                AnswerApplied(entry, new ApplyResult(Outcome.NotDone, RefusalCode.StaleEpoch, LogIndex.Zero));
            }
            else if (entry.Kind == EntryKind.Data)
            {
                if (!stateMachine.TryApply(entry, out ApplyResult result))
                {
                    _loadingForApply = true;
                    loader.Load(RecordSpace.Data, stateMachine.MissingKeyOf(entry).Span, OnLoadedForApply);
                    break;
                }

                ForgetUnapplied(entry);
                lostWrites.OnApplied(entry);
                AnswerApplied(entry, result);
            }
            else if (entry.Kind == EntryKind.Configuration)
            {
                members.Apply(entry);
            }

            consensus.ToApply.Dequeue();
            view.AdvanceApplied(entry.Index, entry.Term);
            if (changesRegime)
            {
                switcher.AfterApplied();
            }
        }

        if (view.Applied > before)
        {
            _raft.OnApplied(view.Applied);
        }
    }

    /// <summary>Proposed before a change of regime and behind it in the log: definitely not done. A leader that knows of the change proposes none.</summary>
    private bool IsOfAnotherEpoch(in Entry entry) => !regimes.IsOrdered || WriteCommand.EpochOf(entry.Payload.Span) < regimes.Epoch;

    /// <summary>This replica can't follow the log at the next entry: it waits there for a snapshot.</summary>
    private void HoldBack()
    {
        if (switcher.IsLate)
        {
            consensus.ToApply.Clear();
            _raft.OnApplied(view.Applied);
            _raft.HoldApply();
        }
    }

    private void ForgetUnapplied(in Entry entry)
    {
        if (_unapplied.Count > 0)
        {
            RequestId request = WriteCommand.Decode(entry.Payload.Span).Request;
            _unapplied.Remove((request.Session, request.Sequence));
        }
    }

    private void OnLoadedForApply()
    {
        _loadingForApply = false;
        Apply();
        ServeReads();
    }

    private void AnswerApplied(in Entry entry, in ApplyResult result)
    {
        while (_writes.TryTakeApplied(entry.Index, out PendingWrite write))
        {
            if (write.Handle == 0)
            {
                continue;
            }

            // Another entry at this index means that the proposed one is gone for good.
            completions.Add(write.Index == entry.Index && write.Term == entry.Term
                ? Answer(write.Handle, result) with { Session = PositionAt(write.InSession, entry.Term, entry.Index) }
                : new Completion { Handle = write.Handle, Outcome = Outcome.NotDone, Code = RefusalCode.LeadershipLost });
        }
    }

    private Completion Answer(ulong handle, in ApplyResult result) => new()
    {
        Handle = handle,
        Outcome = result.Outcome,
        Code = result.Code,
        OrderedVersion = result.Version,
        Counter = result.Counter,
        Transaction = result.Transaction,
        Acknowledgements = PartitionPolicy.Majority(places.Members.Config.Voters.Length),
        Reason = result.Code switch
        {
            RefusalCode.RequestExpired => "The request id is older than this shard remembers; whether it was applied can't be told. Read the key before writing again.",
            RefusalCode.RequestReused => "The request id was used for another write; draw a new one for each write.",
            RefusalCode.WrongType => "The key holds a value that is no counter; delete it first, or count under another key.",
            RefusalCode.InvalidArgument => "The increment would take the counter out of the range of 64 bits.",
            RefusalCode.TooLarge => TransactionGate.AnswerTooLong,
            RefusalCode.Overloaded => "Too many unfinished requests in this client session, or too many sessions.",
            _ => null,
        },
    };

    private void ServeReads()
    {
        while (_reads.TryTakeReady(view.Applied, out List<ClientOperation> operations, out long openedMs))
        {
            _freshAsOfMs = Math.Max(_freshAsOfMs, openedMs);
            foreach (ref readonly ClientOperation operation in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(operations))
            {
                reader.Serve(operation, stale: operation.Level == ReadLevel.Bounded);
            }

            _reads.Recycle(operations);
        }
    }
}
