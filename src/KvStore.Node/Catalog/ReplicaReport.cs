using KvStore.Contracts.V1;
using KvStore.Core.Consensus;
using KvStore.Node.Loops;
using CoreStatus = KvStore.Core.Replicas.ReplicaStatus;

namespace KvStore.Node.Catalog;

/// <summary>What the replicas of this node say of themselves, in the words of the wire.</summary>
internal sealed class ReplicaReport(LoopSet loops)
{
    public async Task<List<ReplicaStatus>> DescribeAsync()
    {
        var all = new List<ReplicaStatus>();
        foreach (ShardLoop loop in loops.Loops)
        {
            all.AddRange((await LoopSet.RunAsync(loop, on => on.Replicas.Select(replica => replica.Describe() with { Digest = replica.CaptureDigests()?.ToString() ?? "" }).ToList())).Select(ToWire));
        }

        return [.. all.OrderBy(replica => replica.KeyspaceId).ThenBy(replica => replica.Shard)];
    }

    private ReplicaStatus ToWire(CoreStatus status)
    {
        ReplicaStatus wire = FactsOf(status);
        wire.Members.AddRange(status.Members.Select(member => new ShardMember
        {
            Node = member.Place.Node.Value,
            ReplicaId = member.Place.Replica.Value,
            Voter = member.IsVoter,
            Learner = member.IsLearner,
            Outgoing = member.IsOutgoingVoter,
            Match = member.Match.Value,
        }));
        wire.Lags.AddRange(status.Lags.Select(lag => new PeerLag { Node = lag.Node.Value, Missing = lag.Missing, ForMs = lag.ForMs }));
        return wire;
    }

    private ReplicaStatus FactsOf(CoreStatus status) => new()
    {
        KeyspaceId = status.Descriptor.Shard.Keyspace,
        Keyspace = loops.Router.TryFind(status.Descriptor.Shard.Keyspace, out KeyspaceRoute route) ? route.Name : "",
        Shard = (uint)status.Descriptor.Shard.Number,
        Regime = (Regime)status.Regime,
        Epoch = status.Current.Epoch.Value,
        ReplicaId = status.Descriptor.Self.Replica.Value,
        Role = status.Role switch
        {
            RaftRole.Leader => "leader",
            RaftRole.Candidate => "candidate",
            RaftRole.PreCandidate => "pre-candidate",
            _ => "follower",
        },
        Term = status.Term.Value,
        Leader = status.Leader.Value,
        Commit = status.Commit.Value,
        Applied = status.Applied.Value,
        LastIndex = status.LastIndex.Value,
        Clock = status.Clock,
        PeerLag = status.PeerLag,
        OverlayKeys = (uint)status.OverlayKeys,
        OverlayBytes = (ulong)status.OverlayBytes,
        OverlayAgeMs = status.OverlayAgeMs,
        ProvisionalEpisodes = (ulong)status.ProvisionalEpisodes,
        Quiet = status.Quiet,
        Fenced = status.Fenced,
        Removed = status.Removed,
        LosersDropped = (ulong)status.LosersDropped,
        MemoryBytes = (ulong)status.MemoryBytes,
        MemoryLimit = (ulong)status.Descriptor.MemoryBytes,
        Evictions = (ulong)status.Evictions,
        MemoryLosses = status.MemoryLosses,
        LastMemoryLossMs = status.LastMemoryLossMs,
        Recovering = status.Open is { IsRecovering: true },
        DotKeys = (uint)(status.Open?.IndexedDots ?? 0),
        UncoveredContexts = (uint)(status.Open?.UncoveredContexts ?? 0),
        Digest = status.Digest,
        DigestComparisons = (ulong)(status.Open?.Comparisons ?? 0),
        DifferentBuckets = (uint)(status.Open?.DifferentBuckets ?? 0),
        Policy = (Contracts.V1.PartitionPolicy)status.Current.Mode.Partition,
        Replication = (Contracts.V1.Replication)status.Current.Mode.Replication,
        Closing = status.Current.Kind == Core.Replicas.RegimeKind.Closing,
        Switching = status.Switch.IsUnderWay,
        PauseMs = (ulong)status.Switch.LastPauseMs,
    };
}
