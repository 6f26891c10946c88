using System.Runtime.InteropServices;
using KvStore.Contracts.Pipeline;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Loops;

/// <summary>
/// Takes operations that belong to this loop: each is refused early, handed to this node's replica, or forwarded to the node that can serve it; and carries the replicas' completions back to those who asked.
/// </summary>
internal sealed class LoopOperations(LoopSet set, LoopReplicas replicas, OutgoingForwards forwards, LoopAnswers answers, ResultMapper results, List<Completion> completions, ReplicaClock clock)
{
    /// <summary>Operations that a loop holds unanswered; more are refused early.</summary>
    private const int MaxHeld = 65_536;

    private readonly OperationSlots _held = new();
    private readonly LookAhead _ahead = new();
    private bool _isDiskLow;

    public void Submit(OperationBatch batch)
    {
        Span<RoutedOperation> operations = CollectionsMarshal.AsSpan(batch.Operations);
        while (!operations.IsEmpty)
        {
            Span<RoutedOperation> next = operations[..Math.Min(operations.Length, LookAhead.Keys)];
            operations = operations[next.Length..];
            if (replicas.WarmPays)
            {
                Prepare(next);
            }

            foreach (ref RoutedOperation operation in next)
            {
                Submit(batch.Origin, ref operation);
            }
        }

        OperationBatchPool.Return(batch);
    }

    public void Submit(OperationOrigin origin, ref RoutedOperation routed)
    {
        if (IsRefusedEarly(origin, routed))
        {
            return;
        }

        // A replica that has moved away, or has not got the data yet, has no answer: whoever asked this node gets another's.
        if (replicas.Find(routed.Shard) is { } slot && (slot.Replica.HasPlace || routed.DeclineForwarding))
        {
            NodeId elsewhere = slot.Replica.BetterPlaceFor(routed.Operation);
            if (elsewhere.IsNone || routed.DeclineForwarding)
            {
                routed.Operation.Handle = _held.Add(origin, routed.CallId, routed.Shard, routed.Operation.IsWrite);
                if (!replicas.TrySubmit(slot, routed.Operation))
                {
                    FailHandle(routed.Operation.Handle);
                }

                return;
            }

            forwards.Send(origin, routed, elsewhere, isLast: true);
            return;
        }

        if (!set.Router.TryFind(routed.Shard.Keyspace, out _))
        {
            // It was deleted while the operation was on its way to the loop.
            answers.Deliver(origin, routed.CallId, results.Refusal(RefusalCode.UnknownKeyspace, "The keyspace was deleted."));
            return;
        }

        bool anyReplica = routed.Operation.Level is ReadLevel.Session or ReadLevel.Bounded && !routed.Operation.IsWrite;
        NodeId node = anyReplica ? set.Router.NearestReplicaNodeFor(routed.Shard, replicas.Unreachable, set.RoundTripMs) : set.Router.ReplicaNodeFor(routed.Shard, replicas.Unreachable);
        if (node.IsNone || routed.DeclineForwarding)
        {
            answers.Deliver(origin, routed.CallId, results.Refusal(RefusalCode.WrongNode, "This node has no replica of the key's shard.", leader: node));
            return;
        }

        // Who has no replica does not know the leader either: whoever gets it may pass it on.
        forwards.Send(origin, routed, node, isLast: false);
    }

    /// <summary>
    /// The replica of a shard is gone for good. What it has answered is delivered; of what it still held (waiting for a record from the disk, say) nobody can tell whether a write took effect.
    /// </summary>
    public void OnClosed(ShardId shard, bool isDeleted)
    {
        DeliverCompletions();
        foreach ((ulong handle, bool isWrite) in _held.Of(shard))
        {
            if (_held.TryTake(handle, out OperationOrigin origin, out ulong callId))
            {
                (RefusalCode code, string reason) = isDeleted
                    ? (RefusalCode.UnknownKeyspace, "The keyspace was deleted before the operation was answered.")
                    : (RefusalCode.ReplicaRemoved, "The replica has moved to another node before the operation was answered.");
                answers.Deliver(origin, callId, results.Refusal(code, reason, unknown: isWrite));
            }
        }
    }

    /// <summary>Once per tick: asks storage how much room the disk has.</summary>
    public void LookAtDisk() => _isDiskLow = set.Storage.IsDiskLow;

    /// <summary>Answers what the replicas have completed.</summary>
    public void DeliverCompletions()
    {
        foreach (ref readonly Completion completion in CollectionsMarshal.AsSpan(completions))
        {
            if (_held.TryTake(completion.Handle, out OperationOrigin origin, out ulong callId))
            {
                results.Map(completion, clock.WallMs, out WireResult result);
                answers.Deliver(origin, callId, result);
            }
        }

        completions.Clear();
    }

    private void Prepare(ReadOnlySpan<RoutedOperation> operations)
    {
        foreach (ref readonly RoutedOperation operation in operations)
        {
            if (replicas.Find(operation.Shard) is { } slot && slot.Replica.WarmPays && slot.Replica.LooksUpAtOnce(operation.Operation))
            {
                _ahead.Add(slot.Replica, KeyHash.Of(operation.Operation.Key.Span));
            }
        }

        _ahead.Run();
    }

    /// <summary>Under overload, and when the disk is nearly full, the loop says so before it does any work.</summary>
    private bool IsRefusedEarly(OperationOrigin origin, in RoutedOperation routed)
    {
        bool isWrite = routed.Operation.IsWrite;
        if (_held.Count >= MaxHeld || (isWrite && set.Storage.IsOverloaded))
        {
            answers.Deliver(origin, routed.CallId, results.Refusal(RefusalCode.Overloaded, "This node has more to do than it can keep up with; slow down and try again."));
            return true;
        }

        if (_isDiskLow && routed.Operation.Kind is (OperationKind.Put or OperationKind.Increment or OperationKind.Transaction))
        {
            answers.Deliver(origin, routed.CallId, results.Refusal(RefusalCode.DiskLow, "The disk of this node is nearly full: puts, increments and transactions are refused, reads and deletes go on. Free some space."));
            return true;
        }

        return false;
    }

    private void FailHandle(ulong handle)
    {
        if (_held.TryTake(handle, out OperationOrigin origin, out ulong callId))
        {
            answers.Deliver(origin, callId, results.Refusal(RefusalCode.StorageFailed, "The replica has stopped serving.", unknown: true));
        }
    }
}
