using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// The members of a shard as of an applied index: the Raft configuration, where each member lives, and who was removed. Immutable; a function of the founders and the applied
/// configuration entries, so it is the same on every replica at the same index. Part of the view, and so of snapshots.
/// Invariants: 1. every place names a member; 2. places are in the order of their ids; 3. no retired id is a member; 4. at most <see cref="MaxRetired"/> retired ids, oldest first.
/// </summary>
public sealed class ShardMembers
{
    /// <summary>How many removed replicas are remembered. They are remembered only to be told: forgetting one costs nothing but a few refused votes.</summary>
    public const int MaxRetired = 64;

    public ShardMembers(MembershipConfig config, ImmutableArray<ReplicaPlace> places, ImmutableArray<ReplicaId> retired)
    {
        Invariant.Assert(places.All(place => config.IsMember(place.Replica)));
        Invariant.Assert(retired.Length <= MaxRetired && !retired.Any(config.IsMember));
        Config = config;
        Places = places;
        Retired = retired;
    }

    public MembershipConfig Config { get; }

    public ImmutableArray<ReplicaPlace> Places { get; }

    public ImmutableArray<ReplicaId> Retired { get; }

    public static ShardMembers Founding(ImmutableArray<ReplicaPlace> founders) =>
        new(new MembershipConfig(founders.Select(place => place.Replica)), [.. founders.OrderBy(place => place.Replica)], []);

    /// <summary>None: not a member, or a member whose place was never told.</summary>
    public NodeId NodeOf(ReplicaId replica)
    {
        foreach (ReplicaPlace place in Places)
        {
            if (place.Replica == replica)
            {
                return place.Node;
            }
        }

        return default;
    }

    /// <summary>A configuration entry is applied. A place that is known is never changed by it: an id lives on one node.</summary>
    public ShardMembers After(MembershipConfig config, ImmutableArray<ReplicaPlace> named)
    {
        ImmutableArray<ReplicaPlace>.Builder places = ImmutableArray.CreateBuilder<ReplicaPlace>(config.Members.Length);
        foreach (ReplicaId member in config.Members)
        {
            NodeId node = NodeOf(member);
            node = node.IsNone ? named.FirstOrDefault(place => place.Replica == member).Node : node;
            if (!node.IsNone)
            {
                places.Add(new ReplicaPlace(node, member));
            }
        }

        IEnumerable<ReplicaId> removed = Config.Members.Where(member => !config.IsMember(member));
        IEnumerable<ReplicaId> retired = Retired.Where(id => !config.IsMember(id)).Concat(removed);
        return new ShardMembers(config, places.DrainToImmutable(), [.. retired.TakeLast(MaxRetired)]);
    }
}
