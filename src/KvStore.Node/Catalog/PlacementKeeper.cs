using System.Collections.Concurrent;
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
    private const long PeriodMs = 1_000;
    private const int MostHandovers = 5;

    private readonly LoopSet _loops;
    private readonly ConcurrentDictionary<ShardId, int> _handovers = new();
    private long _nextMs;

    public PlacementKeeper(LoopSet loops) => _loops = loops;

    public void Start() => _loops.Ticked += OnTick;

    public void Dispose() => _loops.Ticked -= OnTick;

    /// <summary>The next step from these members to those places; null when nothing is left to do, or a change is under way, or it must wait for a node.</summary>
    /// <param name="isReachable">Whether a node is heard. One that isn't gets no new replica: a learner that doesn't answer would keep the group from its rest, and the old member from going.</param>
    internal static (ImmutableArray<ReplicaPlace> Voters, ImmutableArray<ReplicaPlace> Learners)? NextStep(ShardMembers members, IReadOnlyList<ReplicaPlace> wanted, Func<NodeId, bool> isReachable)
    {
        // An unsafe recovery has thrown out replicas that the catalog still names, until their node is replaced.
        wanted = [.. wanted.Where(place => !members.Retired.Contains(place.Replica))];
        MembershipConfig config = members.Config;
        bool there = config.Members.Length == wanted.Count && config.Learners.IsEmpty && wanted.All(place => config.IsVoter(place.Replica));
        if (config.IsJoint || there || wanted.Count == 0)
        {
            return null;
        }

        ImmutableArray<ReplicaPlace> missing = [.. wanted.Where(place => !config.IsMember(place.Replica))];
        if (missing.IsEmpty)
        {
            return ([.. wanted], []);
        }

        ImmutableArray<ReplicaPlace> voters = [.. members.Places.Where(place => config.IsVoter(place.Replica))];
        ImmutableArray<ReplicaPlace> learners = [.. members.Places.Where(place => config.Learners.Contains(place.Replica) && wanted.Contains(place))];
        ImmutableArray<ReplicaPlace> fresh = [.. missing.Where(place => isReachable(place.Node))];
        if (!fresh.IsEmpty)
        {
            return (voters, [.. learners, .. fresh]);
        }

        // One that is waited for must not keep others from their vote. Who is to go stays until then.
        ImmutableArray<ReplicaPlace> ripe = [.. learners.Where(learner => voters.All(voter => voter.Node != learner.Node))];
        return ripe.IsEmpty ? null : ([.. voters, .. ripe], [.. learners.Except(ripe)]);
    }

    /// <summary>On the system shard's loop, which ticks anyway: a timer of its own would be one more that wakes an idle node.</summary>
    private void OnTick(ShardLoop ticking)
    {
        if (ticking.Clock.NowMs < _nextMs)
        {
            return;
        }

        _nextMs = ticking.Clock.NowMs + PeriodMs;
        foreach (ShardLoop loop in _loops.Loops)
        {
            if (loop == ticking)
            {
                Keep(loop);
            }
            else
            {
                loop.Post(Keep);
            }
        }
    }

    private void Keep(ShardLoop loop)
    {
        foreach (ShardReplica replica in loop.Replicas)
        {
            if (replica.IsLeader && PlacedAs(replica.Descriptor.Shard) is { IsDefaultOrEmpty: false } placed && !Stands(replica.Members, placed)
                && NextStep(replica.Members, [.. placed.Select(each => each.ToPlace())], node => node == _loops.Self || !loop.Unreachable.Contains(node)) is { } step
                && !HandsOver(loop, replica, step.Voters))
            {
                loop.ChangeMembers(replica.Descriptor.Shard, step.Voters, step.Learners, loop.Clock.NowMs + ChangeDeadlineMs);
            }
        }
    }

    /// <summary>A leader that is to go lets another one lead first: a shard whose leader leaves without a word takes no writes for an election timeout.</summary>
    /// <returns>It has begun, or is on its way. Not for ever: at last the leader goes all the same, which is safe.</returns>
    private bool HandsOver(ShardLoop loop, ShardReplica leader, ImmutableArray<ReplicaPlace> voters)
    {
        ShardId shard = leader.Descriptor.Shard;
        ReplicaId self = leader.Descriptor.Self.Replica;
        if (voters.Any(voter => voter.Replica == self))
        {
            _handovers.TryRemove(shard, out _);
            return false;
        }

        if (leader.IsTransferring)
        {
            return true;
        }

        ReplicaPlace successor = voters.FirstOrDefault(voter => leader.Members.Config.IsVoter(voter.Replica) && voter.Node != _loops.Self && !loop.Unreachable.Contains(voter.Node));
        return !successor.Replica.IsNone && _handovers.AddOrUpdate(shard, 1, (_, tried) => tried + 1) <= MostHandovers && loop.TransferLeadership(shard, successor.Node);
    }

    /// <summary>What is nearly always so, seen without an allocation.</summary>
    private static bool Stands(ShardMembers members, ImmutableArray<CatalogReplica> placed)
    {
        MembershipConfig config = members.Config;
        if (config.IsJoint || !config.Learners.IsEmpty)
        {
            return false;
        }

        int voting = 0;
        foreach (CatalogReplica replica in placed)
        {
            if (config.IsVoter(replica.Replica))
            {
                voting++;
            }
            else if (!members.Retired.Contains(replica.Replica))
            {
                return false;
            }
        }

        return voting == config.Members.Length;
    }

    private ImmutableArray<CatalogReplica> PlacedAs(ShardId shard)
    {
        foreach (CatalogKeyspace keyspace in _loops.Router.Catalog.Keyspaces)
        {
            if (keyspace.Id == shard.Keyspace)
            {
                return shard.Number < keyspace.Shards.Length ? keyspace.Shards[shard.Number] : default;
            }
        }

        return default;
    }
}
