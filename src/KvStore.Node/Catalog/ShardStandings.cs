using KvStore.Contracts.V1;
using KvStore.Core.Identity;

namespace KvStore.Node.Catalog;

/// <summary>Who the members of the shards really are, as their replicas have just said, beside what the catalog wants.</summary>
internal sealed class ShardStandings
{
    private readonly Dictionary<ShardId, List<ReplicaStatus>> _byShard = [];

    /// <param name="replicas">Of all nodes that have answered.</param>
    public ShardStandings(IEnumerable<ReplicaStatus> replicas)
    {
        foreach (ReplicaStatus replica in replicas.Where(replica => !replica.Removed && replica.Fenced.Length == 0))
        {
            var shard = new ShardId(replica.KeyspaceId, (int)replica.Shard);
            if (!_byShard.TryGetValue(shard, out List<ReplicaStatus>? known))
            {
                _byShard[shard] = known = [];
            }

            known.Add(replica);
        }
    }

    /// <summary>
    /// A majority of the wanted replicas has applied a configuration in which exactly these vote. From then on nobody needs a replica that is not among them, for elections or anything else, whoever dies.
    /// </summary>
    public bool IsSettled(ShardId shard, IReadOnlyCollection<CatalogReplica> wanted) =>
        _byShard.TryGetValue(shard, out List<ReplicaStatus>? replicas)
        && replicas.Count(replica => Has(wanted, replica.ReplicaId) && IsAs(replica, wanted)) >= Core.Policy.PartitionPolicy.Majority(wanted.Count);

    /// <summary>The shard's leader says that this replica has no vote. False where no leader is heard.</summary>
    public bool IsKnownVoteless(ShardId shard, ReplicaId asked) => LeaderOf(shard) is { } leader && !Votes(leader, asked);

    /// <summary>The shard's leader says that this replica votes. False where no leader is heard.</summary>
    public bool IsKnownVoting(ShardId shard, ReplicaId asked) => LeaderOf(shard) is { } leader && Votes(leader, asked);

    private ReplicaStatus? LeaderOf(ShardId shard) => _byShard.GetValueOrDefault(shard)?.Where(replica => replica.Role == "leader").MaxBy(replica => replica.Term);

    private static bool Votes(ReplicaStatus leader, ReplicaId asked) => leader.Members.Any(member => member.ReplicaId == asked.Value && (member.Voter || member.Outgoing));

    private static bool Has(IEnumerable<CatalogReplica> wanted, ulong replica) => wanted.Any(each => each.Replica.Value == replica);

    private static bool IsAs(ReplicaStatus replica, IReadOnlyCollection<CatalogReplica> wanted) =>
        replica.Members.Count == wanted.Count
        && replica.Members.All(member => member is { Voter: true, Learner: false, Outgoing: false } && Has(wanted, member.ReplicaId));
}
