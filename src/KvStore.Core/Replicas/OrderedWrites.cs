using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Transactions;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Writes of an ordered shard on their way into the log: checked, answered from memory if they were made before, encoded once, proposed.</summary>
internal sealed class OrderedWrites(
    ShardDescriptor descriptor,
    RegimeState regimes,
    RegimeSwitch switcher,
    ReplicaClock clock,
    RaftNode raft,
    KvStateMachine stateMachine,
    ViewState view,
    ViewReader reader,
    CompletionSink completions,
    OrderedExpirer expirer,
    OrderedAdmission admission,
    OrderedAcknowledgements acknowledgements)
{
    private readonly PayloadArena _arena = new();

    private readonly ushort _earlyMark = WriteCommand.EarlyMarkOf(descriptor.Self.Replica);

    public void Submit(in ClientOperation operation)
    {
        if (!TryReadExpected(operation, out LogIndex expected))
        {
            completions.Refuse(operation, RefusalCode.InvalidArgument, "The version is none of this keyspace's: pass one back as a read of the same keyspace returned it.");
            return;
        }

        if (!admission.MayServe(operation))
        {
            return;
        }

        acknowledgements.EnterTerm();
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
            completions.Add(acknowledgements.Answer(operation.Handle, repeated) with { Session = operation.Session.IsEmpty ? default : reader.Position });
            return;
        }

        if (operation.Epoch.Value != 0 && operation.Epoch < regimes.Epoch)
        {
            completions.RefuseForEpoch(operation);
            return;
        }

        if (operation.Condition == WriteCondition.IfVersion && (expected == LogIndex.Zero || !stateMachine.HasAccountedFor(operation.Version)))
        {
            RefuseUnknownVersion(operation);
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

        completions.Add(acknowledgements.Answer(operation.Handle, repeated));
        return true;
    }

    /// <summary>Proposes an entry of which nobody waits for an answer. False where this replica doesn't lead, or there is no room.</summary>
    public bool TryPropose(ReadOnlyMemory<byte> payload) => raft.State == RaftRole.Leader && regimes.IsOrdered && !switcher.HoldsData && raft.Propose(payload, out _, out _) == ProposeResult.Accepted;

    /// <summary>The log has no such state of the key. Only a leader that has applied all that it took over can say so: what it has not applied may have brought that state, and an earlier attempt of this request.</summary>
    private void RefuseUnknownVersion(in ClientOperation operation)
    {
        if (view.AppliedTerm != raft.Term)
        {
            completions.Refuse(operation, RefusalCode.Recovering, "This replica leads since a moment ago and has not applied all of the log yet; try again in a moment.");
            return;
        }

        completions.Refuse(operation, RefusalCode.ConditionFailed, "The version is that of an answer which the log has no such state of the key for, a provisional one or one of an open period; read it again.");
    }

    private static bool TryReadExpected(in ClientOperation operation, out LogIndex expected)
    {
        expected = LogIndex.Zero;
        if (operation.Condition != WriteCondition.IfVersion)
        {
            return true;
        }

        try
        {
            expected = KvStateMachine.ReadExpected(operation.Version);
            return true;
        }
        catch (MalformedRecordException)
        {
            return false;
        }
    }

    private void Propose(in ClientOperation operation, Memory<byte> payload)
    {
        bool mayBeEarly = admission.AcknowledgesEarly && IsSureToApply(operation);
        if (mayBeEarly)
        {
            WriteCommand.MarkEarly(payload.Span, _earlyMark);
        }

        switch (raft.Propose(payload, out Term term, out LogIndex index))
        {
            case ProposeResult.Accepted:
                acknowledgements.Await(operation, index, term, payload.Length, mayBeEarly);
                break;
            case ProposeResult.NotLeader:
                admission.RefuseToLead(operation, RefusalCode.NoLeader);
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
            && (request.IsNone || (view.AppliedTerm == raft.Term && stateMachine.HasRoomFor(request) && !acknowledgements.IsUnderWay(request)));
    }

    /// <summary>What becomes of it is known only when it is applied.</summary>
    private static bool DependsOnRecord(in ClientOperation operation) => operation.Condition != WriteCondition.None || operation.Kind is OperationKind.Increment or OperationKind.Transaction;
}
