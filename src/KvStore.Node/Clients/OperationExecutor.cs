using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Loops;

namespace KvStore.Node.Clients;

/// <summary>
/// Runs one operation and waits for its result: for unary calls and for the node's own needs. Forwards where needed. Refuses as <see cref="OperationIntake"/> does while too many operations wait, but never what the system shard is asked:
/// that is little, and an overloaded cluster must stay manageable.
/// </summary>
internal sealed class OperationExecutor(LoopSet loops)
{
    private readonly ResultMapper _refusals = new(loops.Self);

    public async Task<Result> ExecuteAsync(WireOperation operation, CancellationToken cancellation)
    {
        if (!OperationMapper.TryRoute(operation, loops.Router, loops.Scheduler.NowMs, out RoutedOperation routed, out RefusalCode code, out string reason))
        {
            return ResultMessages.ToMessage(_refusals.Refusal(code, reason));
        }

        ShardLoop owner = loops.LoopOf(routed.Shard);
        if (owner.IsOverloaded && routed.Shard != ShardId.System)
        {
            return ResultMessages.ToMessage(_refusals.Refusal(RefusalCode.Overloaded, OperationIntake.TooManyWait));
        }

        var origin = new UnaryOrigin();
        Loops.OperationBatch batch = OperationBatchPool.Rent(origin);
        batch.Operations.Add(routed);
        owner.Post(batch);
        return await origin.Result.WaitAsync(cancellation);
    }

    private sealed class UnaryOrigin : OperationOrigin
    {
        private readonly TaskCompletionSource<Result> _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<Result> Result => _done.Task;

        public override void Deliver(ulong callId, ref WireResult result) => _done.TrySetResult(ResultMessages.ToMessage(result));

        public override void Kick()
        {
        }
    }
}
