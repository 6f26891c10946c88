using KvStore.Contracts.Pipeline;
using KvStore.Core.Replicas;
using KvStore.Node.Loops;

namespace KvStore.Node.Clients;

/// <summary>Takes a result that is no answer of a loop: the operation was refused before it got to one.</summary>
internal delegate void RefusalSink(in WireResult refusal);

/// <summary>
/// Reads the frames of one client: checks and routes every operation, and posts what belongs to one loop as one batch. The connection that owns it must say when an operation was answered.
/// </summary>
internal sealed class OperationIntake(OperationOrigin origin, LoopSet loops, RefusalSink refuse)
{
    /// <summary>Operations of one connection that are not answered yet; more are refused.</summary>
    public const int MaxInFlight = 16_384;

    /// <summary>Why operations are refused while <see cref="ShardLoop.IsOverloaded"/>.</summary>
    public const string TooManyWait = "The node has more operations waiting than it works off in time; slow down and try again.";

    private readonly OperationBatch?[] _batches = new OperationBatch?[loops.Count];
    private readonly ResultMapper _refusals = new(loops.Self);
    private int _inFlight;

    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Any thread: a loop has answered one operation.</summary>
    public void OnAnswered() => Interlocked.Decrement(ref _inFlight);

    /// <summary>Takes a frame of the client.</summary>
    /// <returns>Whether something was refused: then there is something to send already.</returns>
    /// <exception cref="MalformedFrameException">The bytes are no OperationBatch: the stream ends.</exception>
    public bool Handle(ReadOnlyMemory<byte> frame)
    {
        long nowMs = loops.Scheduler.NowMs;
        bool refused = false;
        var reader = new OperationBatchReader(frame);
        while (reader.MoveNext(out WireOperation wire))
        {
            if (InFlight >= MaxInFlight)
            {
                Refuse(wire.CallId, RefusalCode.Overloaded, $"This connection has {MaxInFlight} operations in flight; wait for answers before sending more.");
                refused = true;
            }
            else if (OperationMapper.TryRoute(wire, loops.Router, nowMs, out RoutedOperation routed, out RefusalCode code, out string reason))
            {
                ShardLoop owner = loops.LoopOf(routed.Shard);
                if (owner.IsOverloaded)
                {
                    Refuse(wire.CallId, RefusalCode.Overloaded, TooManyWait);
                    refused = true;
                    continue;
                }

                Interlocked.Increment(ref _inFlight);
                (_batches[owner.Number] ??= OperationBatchPool.Rent(origin)).Operations.Add(routed);
            }
            else
            {
                Refuse(wire.CallId, code, reason);
                refused = true;
            }
        }

        for (int i = 0; i < _batches.Length; i++)
        {
            if (_batches[i] is { } batch)
            {
                _batches[i] = null;
                loops.Loops[i].Post(batch);
            }
        }

        return refused;
    }

    private void Refuse(ulong callId, RefusalCode code, string reason)
    {
        WireResult refusal = _refusals.Refusal(code, reason);
        refusal.CallId = callId;
        refuse(refusal);
    }
}
