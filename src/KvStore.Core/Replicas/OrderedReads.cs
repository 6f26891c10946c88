using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>
/// Reads of an ordered shard. Those that must be current share one confirmation per turn (ReadIndex), wait until what it covers is applied, and are answered from the view; the others are answered from the view as it stands.
/// </summary>
internal sealed class OrderedReads(
    ShardDescriptor descriptor,
    ReplicaOptions options,
    ReplicaClock clock,
    RaftNode raft,
    ViewState view,
    ViewReader reader,
    CompletionSink completions,
    OrderedAdmission admission,
    OrderedAcknowledgements acknowledgements,
    PendingReads pending)
{
    private readonly List<ClientOperation> _expired = [];

    /// <summary>All that was acknowledged before this moment, on the loop's clock, is applied here: a quorum has confirmed it. The one measure of age that trusts no clock and no message's time in flight.</summary>
    private long _freshAsOfMs = long.MinValue;

    /// <summary>How old the view may be, as far as a quorum has confirmed; the largest number if it never has.</summary>
    public uint ConfirmedStalenessMs => _freshAsOfMs == long.MinValue ? uint.MaxValue : (uint)Math.Clamp(clock.NowMs - _freshAsOfMs, 0, uint.MaxValue);

    /// <summary>Whether this read can be answered from the view as it is, without asking a leader.</summary>
    public bool MayServeFromView(in ClientOperation operation) => operation.Level switch
    {
        ReadLevel.Eventual or ReadLevel.Session => true,
        ReadLevel.Bounded => ConfirmedStalenessMs <= operation.MaxStalenessMs,
        _ => false,
    };

    public void Submit(in ClientOperation operation)
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

        if (!admission.MayServe(operation))
        {
            return;
        }

        ReadResult result = TryOpenBatch();
        if (result != ReadResult.Accepted)
        {
            admission.RefuseToLead(operation, result == ReadResult.Overloaded ? RefusalCode.Overloaded : RefusalCode.NoLeader);
            return;
        }

        pending.Add(operation);
    }

    /// <summary>The inputs of a turn are in: the batch's confirmation is on its way.</summary>
    public void Close() => pending.Close();

    public void OnReadState(in ReadState state)
    {
        if (!state.Aborted)
        {
            pending.Confirm(state.Context, LogIndex.Max(state.Index, acknowledgements.HighestEarly));
            return;
        }

        while (pending.TryTakeAborted(state.Context, out List<ClientOperation> operations))
        {
            Refuse(operations, RefusalCode.LeadershipLost, "The leadership moved, or the leader did not answer, while the read waited; try again.");
        }
    }

    /// <summary>Answers what was confirmed and is applied by now.</summary>
    public void ServeReady()
    {
        while (pending.TryTakeReady(view.Applied, out List<ClientOperation> operations, out long openedMs))
        {
            _freshAsOfMs = Math.Max(_freshAsOfMs, openedMs);
            foreach (ref readonly ClientOperation operation in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(operations))
            {
                reader.Serve(operation, stale: operation.Level == ReadLevel.Bounded);
            }

            pending.Recycle(operations);
        }
    }

    public void OnTick()
    {
        _expired.Clear();
        pending.TakeExpired(clock.NowMs, _expired);
        foreach (ClientOperation read in _expired)
        {
            if (read.Level == ReadLevel.Bounded)
            {
                RefuseTooStale(read);
            }
            else
            {
                completions.Unknown(read.Handle, RefusalCode.DeadlineExceeded, OrderedAcknowledgements.Late);
            }
        }
    }

    public void RefuseAll(RefusalCode code, string reason)
    {
        pending.Close();
        while (pending.TryTakeAborted(ulong.MaxValue, out List<ClientOperation> operations))
        {
            Refuse(operations, code, reason);
        }

        while (pending.TryTakeReady(new LogIndex(ulong.MaxValue), out List<ClientOperation> operations, out _))
        {
            Refuse(operations, code, reason);
        }
    }

    /// <summary>What is here is not known to be fresh enough: a quorum is asked, and until it stays silent for too long the read waits.</summary>
    private void ReadBounded(in ClientOperation operation)
    {
        bool mayAsk = raft.State == RaftRole.Leader ? completions.Decide(RequestClass.LinearizableRead) == PolicyDecision.Serve : admission.MayServeAtReplica(operation) && !admission.LeaderToName.IsNone;
        if (admission.IsFull)
        {
            admission.RefuseOverloaded(operation);
        }
        else if (!mayAsk || TryOpenBatch() != ReadResult.Accepted)
        {
            RefuseTooStale(operation);
        }
        else
        {
            pending.Add(operation with { DeadlineMs = Math.Min(operation.DeadlineMs, clock.NowMs + options.FreshnessWaitMs) });
        }
    }

    private void RefuseTooStale(in ClientOperation operation)
    {
        string known = ConfirmedStalenessMs == uint.MaxValue ? "has not been confirmed by a quorum yet" : $"was last confirmed by a quorum {ConfirmedStalenessMs} ms ago";
        completions.Refuse(
            operation,
            RefusalCode.TooStale,
            $"What {descriptor.Self.Node} has {known}, and the read allows {operation.MaxStalenessMs} ms. Ask another replica, allow more, or read with level eventual if an older answer will do.",
            admission.LeaderToName);
    }

    private ReadResult TryOpenBatch()
    {
        if (pending.Gathering is not null)
        {
            return ReadResult.Accepted;
        }

        ReadResult result = raft.ReadIndex(pending.Open(clock.NowMs));
        if (result != ReadResult.Accepted)
        {
            pending.Recycle(pending.TakeGathering());
        }

        return result;
    }

    private void Refuse(List<ClientOperation> operations, RefusalCode code, string reason)
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

        pending.Recycle(operations);
    }
}
