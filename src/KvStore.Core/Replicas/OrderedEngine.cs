using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Transactions;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Replicas;

/// <summary>
/// The ordered regime of one shard, on the path of a request: <see cref="OrderedWrites"/>, <see cref="LogApplier"/> and <see cref="OrderedAcknowledgements"/>, <see cref="OrderedReads"/>.
/// <list type="number">
/// <item>A write is checked, encoded once (<see cref="WriteCommand"/>) and proposed; all writes of a turn leave in one append message per follower.</item>
/// <item>It is answered where its keyspace's replication says: applied (sync, and every conditional write), durable here (async), queued (best-effort).</item>
/// <item>A linearizable read joins the batch of its turn, waits for the batch's ReadIndex and for the apply, and is answered from the view.</item>
/// <item>A stale read is answered from the view as it stands; so is one of a session, which has passed the <see cref="SessionGate"/>.</item>
/// <item>A bounded read too, if a confirmation that is fresh enough was applied; otherwise it joins the batch for another.</item>
/// </list>
/// </summary>
internal sealed class OrderedEngine
{
    private readonly RegimeState _regimes;
    private readonly RegimeSwitch _switcher;
    private readonly ShardMembership _members;
    private readonly ConsensusDriver _consensus;
    private readonly RaftNode _raft;
    private readonly CompletionSink _completions;
    private readonly EarlyAcknowledgements _early;
    private readonly OrderedAdmission _admission;
    private readonly OrderedAcknowledgements _acknowledgements;
    private readonly OrderedWrites _writes;
    private readonly OrderedReads _reads;
    private readonly LogApplier _applier;

    public OrderedEngine(in ReplicaParts parts, ConsensusDriver consensus, RegimeSwitch switcher, ShardMembership members, ViewReader reader, OrderedExpirer expirer)
    {
        _regimes = parts.Regimes;
        _switcher = switcher;
        _members = members;
        _consensus = consensus;
        _raft = consensus.Raft;
        _completions = parts.Completions;
        _early = parts.Early;
        Expirer = expirer;
        var writes = new PendingWrites();
        var reads = new PendingReads();
        _admission = new OrderedAdmission(parts.Regimes, parts.Places, parts.Options, _raft, parts.Completions, writes, reads);
        _acknowledgements = new OrderedAcknowledgements(parts.Regimes, parts.Places, parts.Clock, _raft, parts.Completions, parts.Early, writes);
        _writes = new OrderedWrites(
            parts.Descriptor, parts.Regimes, switcher, parts.Clock, _raft, parts.StateMachine, parts.View, reader, parts.Completions, expirer, _admission, _acknowledgements);
        _reads = new OrderedReads(parts.Descriptor, parts.Options, parts.Clock, _raft, parts.View, reader, parts.Completions, _admission, _acknowledgements, reads);
        _applier = new LogApplier(parts.Regimes, switcher, members, consensus, parts.StateMachine, parts.View, parts.Loader, parts.LostWrites, _acknowledgements, _reads);
    }

    public int PendingCount => _admission.PendingCount;

    /// <summary>What must go on even where no client asks for anything.</summary>
    public OrderedExpirer Expirer { get; }

    /// <summary>How old the view may be, as far as a quorum has confirmed; the largest number if it never has.</summary>
    public uint ConfirmedStalenessMs => _reads.ConfirmedStalenessMs;

    /// <summary>Async modes: only the acknowledging replica syncs at once; the others may ride along.</summary>
    public SyncUrgency Urgency => _regimes.Replication switch
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
                _reads.Submit(operation);
                break;
            case OperationKind.Increment when operation.Condition != WriteCondition.None:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "An increment has no condition: it applies to whatever the counter is.");
                break;
            case OperationKind.Transaction when TransactionGate.FindFault(operation) is { } fault:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, fault);
                break;
            case OperationKind.Put or OperationKind.Delete or OperationKind.Increment or OperationKind.Transaction:
                _writes.Submit(operation);
                break;
            default:
                _completions.Refuse(operation, RefusalCode.InvalidArgument, "The kind of operation is not known here.");
                break;
        }
    }

    /// <summary>The answer to a write that the log took before the shard was opened, and that is sent again: then it is answered as it was. False: nothing is remembered of it.</summary>
    public bool TryAnswerRepeated(in ClientOperation operation) => _writes.TryAnswerRepeated(operation);

    /// <summary>Whether a follower may answer this read through ReadIndex.</summary>
    public bool MayServeAtReplica(in ClientOperation operation) => _admission.MayServeAtReplica(operation);

    /// <summary>Whether this read can be answered from the view as it is, without asking a leader.</summary>
    public bool MayServeFromView(in ClientOperation operation) => _reads.MayServeFromView(operation);

    /// <summary>Proposes an entry of which nobody waits for an answer. False where this replica doesn't lead, or there is no room.</summary>
    public bool TryPropose(ReadOnlyMemory<byte> payload) => _writes.TryPropose(payload);

    /// <summary>One turn of the loop is over for this replica: hand everything to Raft, carry out what it wants, apply what is committed, answer.</summary>
    public void Turn(SnapshotSender snapshots)
    {
        _reads.Close();
        _switcher.EnterTerm();
        while (_raft.HasReady)
        {
            Ready ready = _consensus.Turn(Urgency);
            _early.Settle(_raft.CommitIndex);
            foreach (ReadState state in ready.ReadStates)
            {
                _reads.OnReadState(state);
            }

            foreach (ReplicaId follower in ready.SnapshotsWanted)
            {
                snapshots.Want(follower);
            }

            if (ready.LeadershipChanged is { } change && change.Role != RaftRole.Leader)
            {
                snapshots.Abort();
                _acknowledgements.EndLeadership();
                _members.OnLeadershipEnded();
                _switcher.OnLeadershipEnded();
            }
            else
            {
                _acknowledgements.EnterTerm();
            }

            _applier.Apply();
        }

        _acknowledgements.AcknowledgeDurable();
        _reads.ServeReady();
    }

    public void OnDurable(LogPosition position)
    {
        _consensus.OnDurable(position);
        _acknowledgements.AcknowledgeDurable();
    }

    /// <summary>The view was replaced by a snapshot: what waited to be applied is in it.</summary>
    public void OnSnapshotInstalled() => _applier.OnSnapshotInstalled();

    /// <summary>The log has ceased to write: reads that wait for its order get none.</summary>
    public void OnOpened() => _reads.RefuseAll(RefusalCode.Switching, "The keyspace has become ap while the read waited; try again.");

    public void OnTick()
    {
        if (_switcher.WaitsForSums)
        {
            _applier.Apply();
        }

        Expirer.OnTick();
        _acknowledgements.OnTick();
        _reads.OnTick();
    }

    public void FailAll(RefusalCode code, string reason)
    {
        _acknowledgements.FailAll(code, reason);
        _reads.RefuseAll(code, reason);
    }
}
