using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;

namespace KvStore.Core.Tests.Replicas;

/// <summary>A cp shard of one replica, for tests of its state machine alone.</summary>
internal static class OrderedShard
{
    public static RegimeState Regimes(IReplicaStorage storage)
    {
        var self = new ReplicaPlace(new NodeId(1), new ReplicaId(1));
        return new RegimeState(new ShardDescriptor(new ShardId(1, 0), new Epoch(1), new KeyspaceMode(PartitionChoice.Cp, Replication.Sync), [self], self), storage);
    }
}
