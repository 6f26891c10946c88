namespace KvStore.Core.Replicas;

/// <summary>When <see cref="IReplicaStorage.Warm"/> is worth its time.</summary>
public static class Warming
{
    /// <summary>From so many records on the lookups of a table are worth warming. A smaller one is in the processor's caches anyway, and then it costs more than it brings (docs/performance.md).</summary>
    public const int LeastRecords = 16_384;
}
