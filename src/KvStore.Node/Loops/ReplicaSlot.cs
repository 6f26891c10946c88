using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Loops;

/// <summary>A replica in the hands of its loop.</summary>
internal sealed class ReplicaSlot(ShardReplica replica)
{
    public ShardReplica Replica { get; } = replica;

    /// <summary>Where its changes go; null: nowhere.</summary>
    public Watching.ShardFeed? Feed { get; init; }

    /// <summary>Whether it is on the list of replicas to turn at the end of this step.</summary>
    public bool Touched { get; set; }

    /// <summary>Whether it is on the list of replicas that every tick concerns.</summary>
    public bool Awake { get; set; }

    /// <summary>Who led when last looked.</summary>
    public NodeId Leader { get; set; }

    /// <summary>The epoch when last looked; the founding one until the replica says otherwise.</summary>
    public Epoch Epoch { get; set; } = replica.Descriptor.Epoch;

    /// <summary>Lost writes that were counted.</summary>
    public long LostWrites { get; set; }

    /// <summary>Whether it served provisionally when last looked at, and what its overlay held.</summary>
    public bool Provisional { get; set; }

    public long OverlayBytes { get; set; }

    /// <summary>Whether the loss of its quorum, and what came of it, was told.</summary>
    public bool QuorumLossTold { get; set; }

    /// <summary>Unequal comparisons of digests that were reported.</summary>
    public long DigestDifferences { get; set; }

    /// <summary>Losers of conflicts that were counted.</summary>
    public long LosersDropped { get; set; }

    /// <summary>Evictions that were counted, and losses of whole shards in memory.</summary>
    public (long Evictions, long Losses) Memory { get; set; }

    /// <summary>Ticks until this replica, the first choice of a new shard, stands for election without waiting for a timeout. Zero: it does not.</summary>
    public int CampaignIn { get; set; }
}
