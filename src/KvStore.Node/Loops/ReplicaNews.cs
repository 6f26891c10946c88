using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Node.Loops;

/// <summary>What has become of a loop's replicas, compared with what was told before: tells the node's log, its metrics and the listeners of the loops.</summary>
internal sealed class ReplicaNews(LoopSet set, ReplicaClock clock, ILogger log)
{
    /// <summary>Conflicts may come by the thousand: one line in a while says how many.</summary>
    private const long LosersSayEveryMs = 60_000;

    private long _losersUnsaid;
    private long _losersSayAfterMs;

    /// <summary>Nobody's leader or regime changes while he is quiet.</summary>
    public void OnTick(ReplicaSlot slot)
    {
        NodeId leader = slot.Replica.LeaderNode;
        ShardId shard = slot.Replica.Descriptor.Shard;
        if (slot.Replica.CurrentRegime is var regime && regime.Epoch != slot.Epoch)
        {
            slot.Epoch = regime.Epoch;
            LoopLog.RegimeChanged(log, shard, regime.ToString());
            set.OnRegime(shard, regime);
        }

        if (leader != slot.Leader)
        {
            slot.Leader = leader;
            LoopLog.LeaderChanged(log, shard, leader, slot.Replica.Term.Value);
            set.OnLeader(shard, leader);
        }
    }

    /// <summary>The replica has had its turn.</summary>
    public void OnTurn(ReplicaSlot slot)
    {
        if (slot.Replica.QuorumLoss is { } loss && !slot.QuorumLossTold && (slot.Replica.IsLeader || !loss.IsForced))
        {
            Tell(slot, loss);
        }

        if (slot.Replica.LostWrites.Found != slot.LostWrites)
        {
            NoteLostWrites(slot);
        }

        if (slot.Replica.Memory != slot.Memory)
        {
            NoteMemory(slot);
        }

        if (slot.Replica.DigestDifferencesFound != slot.DigestDifferences)
        {
            NoteDigestDifference(slot);
        }

        if (slot.Replica.LosersDropped != slot.LosersDropped)
        {
            NoteLosers(slot);
        }

        NoteProvisional(slot);
    }

    /// <summary>Tells who listens to the metrics how far the peers are behind. A shard loop's own share of each keyspace; with several loops the last one counts.</summary>
    public void RecordLags(IEnumerable<ShardReplica> replicas)
    {
        if (!NodeMetrics.WantsLag)
        {
            return;
        }

        var worst = new Dictionary<(uint Keyspace, NodeId Peer), (ulong Missing, uint ForMs)>();
        foreach (ShardReplica replica in replicas)
        {
            foreach (PeerLag lag in replica.DescribeLags())
            {
                (uint, NodeId) key = (replica.Descriptor.Shard.Keyspace, lag.Node);
                (ulong missing, uint forMs) = worst.GetValueOrDefault(key);
                worst[key] = (Math.Max(missing, lag.Missing), Math.Max(forMs, lag.ForMs));
            }
        }

        foreach (((uint keyspace, NodeId peer), (ulong missing, uint forMs)) in worst)
        {
            NodeMetrics.OnLag(set.Router, set.Self, keyspace, peer, missing, forMs);
        }
    }

    /// <summary>A forced one once it leads, and so has committed and applied what was forced: from then on it needs no second recovery, and must get none.</summary>
    private void Tell(ReplicaSlot slot, QuorumLoss loss)
    {
        slot.QuorumLossTold = true;
        ShardId shard = slot.Replica.Descriptor.Shard;
        if (!loss.IsForced)
        {
            LoopLog.QuorumNotForced(log, shard, string.Join(' ', loss.Others));
            return;
        }

        LoopLog.QuorumForced(log, shard, string.Join(' ', loss.Before.Places), loss.Settled.Value, loss.Last.Value);
        set.OnQuorumForced(shard, loss);
    }

    private void NoteLostWrites(ReplicaSlot slot)
    {
        ShardId shard = slot.Replica.Descriptor.Shard;
        long news = slot.Replica.LostWrites.Found - slot.LostWrites;
        slot.LostWrites += news;
        LoopLog.WritesLost(log, shard, news);
        NodeMetrics.OnLostWrites(set.Router, shard, news);
    }

    private void NoteMemory(ReplicaSlot slot)
    {
        ShardId shard = slot.Replica.Descriptor.Shard;
        (long evictions, long losses) = slot.Replica.Memory;
        NodeMetrics.OnEvictions(set.Router, shard, evictions - slot.Memory.Evictions);
        if (losses != slot.Memory.Losses)
        {
            LoopLog.MemoryLost(log, shard);
            NodeMetrics.OnMemoryLost(set.Router, shard);
        }

        slot.Memory = (evictions, losses);
    }

    private void NoteProvisional(ReplicaSlot slot)
    {
        ShardId shard = slot.Replica.Descriptor.Shard;
        if (slot.Replica.IsProvisional != slot.Provisional)
        {
            slot.Provisional = slot.Replica.IsProvisional;
            if (slot.Provisional)
            {
                LoopLog.ServesProvisionally(log, shard);
                NodeMetrics.OnProvisional(set.Router, shard);
            }
            else
            {
                LoopLog.ServesOrdered(log, shard);
            }
        }

        (long bytes, ulong ageMs) = slot.Replica.OverlayState;
        if (bytes != 0 || slot.OverlayBytes != 0)
        {
            slot.OverlayBytes = bytes;
            NodeMetrics.OnOverlay(set.Router, shard, bytes, ageMs);
        }
    }

    private void NoteDigestDifference(ReplicaSlot slot)
    {
        ShardId shard = slot.Replica.Descriptor.Shard;
        slot.DigestDifferences = slot.Replica.DigestDifferencesFound;
        LoopLog.DigestsDiffer(log, shard, slot.Replica.Describe().Open?.DifferentBuckets ?? 0);
        NodeMetrics.OnDigestsDiffer(set.Router, shard);
    }

    private void NoteLosers(ReplicaSlot slot)
    {
        ShardId shard = slot.Replica.Descriptor.Shard;
        long news = slot.Replica.LosersDropped - slot.LosersDropped;
        slot.LosersDropped += news;
        NodeMetrics.OnLosersDropped(set.Router, shard, news);
        _losersUnsaid += news;
        if (clock.NowMs >= _losersSayAfterMs)
        {
            LoopLog.LosersDropped(log, _losersUnsaid, shard);
            _losersUnsaid = 0;
            _losersSayAfterMs = clock.NowMs + LosersSayEveryMs;
        }
    }
}
