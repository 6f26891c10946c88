using KvStore.Core.Replicas;

namespace KvStore.Node.Loops;

/// <summary>A replica in the hands of its loop.</summary>
internal sealed class ReplicaSlot(ShardReplica replica)
{
    public ShardReplica Replica { get; } = replica;

    /// <summary>Whether it is on the list of replicas to turn at the end of this step.</summary>
    public bool Touched { get; set; }
}
