using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Loops;

/// <summary>An operation whose shard is known, on its way to the loop that owns the shard.</summary>
internal struct RoutedOperation
{
    public ShardId Shard;

    /// <summary>What the origin calls it.</summary>
    public ulong CallId;

    /// <summary>The caller wants a hint instead of a forward; so does a node that forwarded it to us.</summary>
    public bool DeclineForwarding;

    public ClientOperation Operation;

    /// <summary>A transaction as it came, to be forwarded as it is.</summary>
    public ReadOnlyMemory<byte> Transaction;
}

/// <summary>Operations of one origin for one loop. Posted in one piece; pooled by <see cref="OperationBatchPool"/>.</summary>
internal sealed class OperationBatch
{
    public OperationOrigin Origin { get; set; } = OperationOrigin.Nobody;

    public List<RoutedOperation> Operations { get; } = new(64);
}

/// <summary>Keeps a few emptied batches. Any thread.</summary>
internal static class OperationBatchPool
{
    private const int Kept = 64;

    private static readonly System.Collections.Concurrent.ConcurrentQueue<OperationBatch> Spare = new();

    public static OperationBatch Rent(OperationOrigin origin)
    {
        if (!Spare.TryDequeue(out OperationBatch? batch))
        {
            batch = new OperationBatch();
        }

        batch.Origin = origin;
        return batch;
    }

    public static void Return(OperationBatch batch)
    {
        batch.Operations.Clear();
        batch.Origin = OperationOrigin.Nobody;
        if (Spare.Count < Kept)
        {
            Spare.Enqueue(batch);
        }
    }
}
