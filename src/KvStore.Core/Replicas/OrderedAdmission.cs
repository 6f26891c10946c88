using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Replicas;

/// <summary>Whether a request that needs the log may begin at this replica of an ordered shard; where it may not, the words of the refusal, and who leads instead.</summary>
internal sealed class OrderedAdmission(
    RegimeState regimes,
    ReplicaPlaces places,
    ReplicaOptions options,
    RaftNode raft,
    CompletionSink completions,
    PendingWrites writes,
    PendingReads reads)
{
    /// <summary>Writes and reads that wait here.</summary>
    public int PendingCount => writes.Count + reads.Count;

    /// <summary>No more may wait.</summary>
    public bool IsFull => PendingCount >= options.MaxPending;

    /// <summary>Writes are acknowledged before their commit.</summary>
    public bool AcknowledgesEarly => regimes.Replication != Replication.Sync;

    /// <summary>The leader to ask instead of this replica; none where it leads itself, or the leader can't be reached.</summary>
    public NodeId LeaderToName => raft.Leader.IsNone || raft.State == RaftRole.Leader || !completions.IsReachable(places.NodeOf(raft.Leader)) ? default : places.NodeOf(raft.Leader);

    /// <summary>
    /// Whether a follower may answer this read through ReadIndex. Only where nothing is acknowledged before its commit: the leader's index would not cover that, and a read could be older than an
    /// acknowledgement.
    /// </summary>
    public bool MayServeAtReplica(in ClientOperation operation) =>
        (operation.AtReplica || operation.Level == ReadLevel.Bounded) && !AcknowledgesEarly && !raft.Leader.IsNone;

    /// <summary>Whether the policy allows it here and now, this replica leads, and there is room; otherwise the operation is refused at once.</summary>
    public bool MayServe(in ClientOperation operation)
    {
        if (!completions.Admit(operation, RequestClasses.Of(operation)))
        {
            return false;
        }

        bool isRead = operation.Kind is OperationKind.Get or OperationKind.Scan;
        if (raft.State != RaftRole.Leader && !(isRead && MayServeAtReplica(operation)))
        {
            RefuseToLead(operation, RefusalCode.NoLeader);
            return false;
        }

        if (IsFull)
        {
            RefuseOverloaded(operation);
            return false;
        }

        return true;
    }

    public void RefuseOverloaded(in ClientOperation operation) =>
        completions.Refuse(operation, RefusalCode.Overloaded, "Too many operations wait on this shard; slow down and try again.");

    public void RefuseToLead(in ClientOperation operation, RefusalCode code)
    {
        NodeId leader = raft.Leader.IsNone || raft.State == RaftRole.Leader ? default : places.NodeOf(raft.Leader);
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
}
