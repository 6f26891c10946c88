using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Loops;

namespace KvStore.Node.Catalog;

/// <summary>
/// Brings the members of the shards that this node leads to where the catalog wants them, one safe step at a time: new replicas enter as learners, vote when they have caught up, and the old ones go in the same
/// joint change. Looks once a second; what can't be done yet is tried again.
/// </summary>
internal sealed class PlacementKeeper : IDisposable
{
    private const long ChangeDeadlineMs = 30_000;
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly LoopSet _loops;
    private readonly Timer _timer;

    public PlacementKeeper(LoopSet loops)
    {
        _loops = loops;
        _timer = new Timer(_ => Look(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public void Start() => _timer.Change(Period, Period);

    public void Dispose() => _timer.Dispose();

    /// <summary>The next step from these members to those places; null when nothing is left to do, or a change is under way.</summary>
    internal static (ImmutableArray<ReplicaPlace> Voters, ImmutableArray<ReplicaPlace> Learners)? NextStep(ShardMembers members, IReadOnlyList<ReplicaPlace> wanted)
    {
        MembershipConfig config = members.Config;
        bool there = config.Members.Length == wanted.Count && config.Learners.IsEmpty && wanted.All(place => config.IsVoter(place.Replica));
        if (config.IsJoint || there)
        {
            return null;
        }

        IEnumerable<ReplicaPlace> missing = wanted.Where(place => !config.IsMember(place.Replica));
        if (!missing.Any())
        {
            return ([.. wanted], []);
        }

        IEnumerable<ReplicaPlace> voters = members.Places.Where(place => config.IsVoter(place.Replica));
        IEnumerable<ReplicaPlace> learners = members.Places.Where(place => config.Learners.Contains(place.Replica) && wanted.Contains(place));
        return ([.. voters], [.. learners, .. missing]);
    }

    private void Look()
    {
        foreach (ShardLoop loop in _loops.Loops)
        {
            loop.Post(Keep);
        }
    }

    private void Keep(ShardLoop loop)
    {
        foreach (ShardReplica replica in loop.Replicas)
        {
            if (!replica.IsLeader || WantedOf(replica.Descriptor.Shard) is not { } wanted)
            {
                continue;
            }

            if (NextStep(replica.Members, wanted) is { } step)
            {
                loop.ChangeMembers(replica.Descriptor.Shard, step.Voters, step.Learners, loop.Clock.NowMs + ChangeDeadlineMs);
            }
        }
    }

    private List<ReplicaPlace>? WantedOf(ShardId shard)
    {
        CatalogKeyspace? keyspace = _loops.Router.Catalog.Keyspaces.FirstOrDefault(each => each.Id == shard.Keyspace);
        return keyspace is null || shard.Number >= keyspace.Shards.Length ? null : [.. keyspace.Shards[shard.Number].Select(replica => replica.ToPlace())];
    }
}
