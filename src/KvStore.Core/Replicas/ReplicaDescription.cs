using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>What a replica says of itself, and of how far its peers are behind.</summary>
internal sealed class ReplicaDescription(ReplicaParts parts, RegimeEngines engines)
{
    private readonly PeerLags _lags = new(parts.Clock);

    public ReplicaStatus Describe(ShardReplica replica) => new()
    {
        Descriptor = parts.Descriptor,
        Regime = engines.Provisional is { IsServing: true } ? Regime.Provisional : parts.Regimes.Shown,
        Current = parts.Regimes.Current,
        Switch = DescribeSwitch(),
        Role = replica.IsActive ? engines.Group!.Raft.State : RaftRole.Follower,
        Term = replica.Term,
        Leader = replica.LeaderNode,
        Commit = engines.Group?.Raft.CommitIndex ?? LogIndex.Zero,
        Applied = parts.View.Applied,
        LastIndex = engines.Group?.Raft.LastIndex ?? LogIndex.Zero,
        Members = ConsensusGroup.Describe(parts.Places.Members, engines.Group?.Raft),
        Removed = parts.Places.IsRemoved,
        Clock = engines.Open?.DescribeClock() ?? "",
        PeerLag = engines.Open?.Healing.PeerLag ?? 0,
        Open = engines.Open?.Describe(),
        OverlayKeys = parts.Overlay.Count,
        OverlayBytes = parts.Overlay.Bytes,
        OverlayAgeMs = parts.Overlay.AgeMs,
        ProvisionalEpisodes = engines.Provisional?.Episodes ?? 0,
        Lags = DescribeLags(replica.IsActive),
        Quiet = replica.IsQuiet,
        LosersDropped = replica.LosersDropped,
        MemoryBytes = engines.Open?.Memory?.Bytes ?? 0,
        Evictions = replica.Memory.Evictions,
        MemoryLosses = engines.Open?.Recovery?.Losses ?? 0,
        LastMemoryLossMs = engines.Open?.Recovery?.LastLossMs ?? 0,
        Fenced = replica.FencedBecause ?? (parts.Places.IsRemoved ? "removed from the shard" : replica.IsActive ? "" : "starting"),
    };

    /// <summary>How far each peer is behind what is durable here. Of an ordered shard: at its leader only.</summary>
    public IReadOnlyList<PeerLag> DescribeLags(bool isActive) => !isActive ? [] : engines.Open is { } open ? _lags.Describe(open.Dotted, parts.Places.Peers) : _lags.Describe(engines.Group!.Raft, parts.Places);

    /// <summary>Once per tick, of a replica that is active.</summary>
    public void LookAtLags()
    {
        if (!_lags.IsDue)
        {
            return;
        }

        if (engines.Open is { } open)
        {
            _lags.Look(open.Dotted, parts.Places.Peers);
        }
        else if (engines.Group!.IsLeader)
        {
            _lags.Look(engines.Group.Raft, parts.Places);
        }
    }

    private SwitchStatus DescribeSwitch() => new()
    {
        IsOpening = engines.Periods.IsOpening,
        IsLate = engines.Group?.Switch.IsLate ?? false,
        Reported = engines.Group?.Closing.Reported ?? [],
        Holders = engines.Group?.Closing.Holders ?? [],
        Unbound = [.. parts.Places.Peers.Where(peer => !parts.Peers.IsReachable(peer))],
        LastPauseMs = engines.Group?.Switch.LastPauseMs ?? 0,
    };
}
