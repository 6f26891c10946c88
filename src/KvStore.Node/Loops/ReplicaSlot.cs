using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Loops;

/// <summary>A replica in the hands of its loop.</summary>
internal sealed class ReplicaSlot(ShardReplica replica)
{
    public ShardReplica Replica { get; } = replica;

    /// <summary>Whether it is on the list of replicas to turn at the end of this step.</summary>
    public bool Touched { get; set; }

    /// <summary>Whether it is on the list of replicas that every tick concerns.</summary>
    public bool Awake { get; set; }

    /// <summary>Who led when last looked.</summary>
    public NodeId Leader { get; set; }

    /// <summary>Lost writes that were counted.</summary>
    public long LostWrites { get; set; }

    /// <summary>Losers of conflicts that were counted.</summary>
    public long LosersDropped { get; set; }

    /// <summary>Evictions that were counted, and losses of whole shards in memory.</summary>
    public (long Evictions, long Losses) Memory { get; set; }

    /// <summary>Ticks until this replica, the first choice of a new shard, stands for election without waiting for a timeout. Zero: it does not.</summary>
    public int CampaignIn { get; set; }
}
