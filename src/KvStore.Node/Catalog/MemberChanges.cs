using System.Collections.Immutable;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Node.Hosting;

namespace KvStore.Node.Catalog;

/// <summary>What operators ask for: members that come and go, as changes of the catalog. <see cref="MemberPlan"/> goes on from there.</summary>
internal static class MemberChanges
{
    /// <summary>The system shard has a replica on each, and one more while a replaced one gives way to its successor.</summary>
    public const int MostMembers = MembershipConfig.MaxMembers - 1;

    /// <summary>Why this node can't be taken in, in one sentence; null if it can.</summary>
    public static string? FaultOfAdding(ClusterCatalog catalog, NodeId node, string address, double weight)
    {
        if (!NodeOptionsValidation.IsAddress(address))
        {
            return $"'{address}' is no address: give HOST:PORT as clients and the other members reach the node.";
        }

        if (!double.IsFinite(weight) || weight <= 0 || weight > 1_000)
        {
            return "A member's weight is more than 0 and at most 1000.";
        }

        if (catalog.Removed.Contains(node))
        {
            return $"Node {node.Value} was a member and was removed: its id is never used again, since the others remember what it promised. Choose another id.";
        }

        if (catalog.Find(node) is { } known)
        {
            return $"Node {node.Value} is a member already, at {known.Address}: choose another id, or 'kv member replace {node.Value}' if its data is lost.";
        }

        if (catalog.Members.FirstOrDefault(member => string.Equals(member.Address, address, StringComparison.OrdinalIgnoreCase)) is { } other)
        {
            return $"The address {address} is node {other.Node.Value}'s: each node needs one of its own.";
        }

        if (catalog.Members.FirstOrDefault(member => !NodeOptionsValidation.IsAddress(member.Address)) is { } unreachable)
        {
            return $"Node {unreachable.Node.Value} is known under '{unreachable.Address}', where nobody can reach it: found the cluster anew with --listen or --advertise HOST:PORT.";
        }

        return catalog.Members.Length >= MostMembers ? $"A cluster has at most {MostMembers} members." : null;
    }

    /// <summary>The member is known to all from here on, and gets a place in the system shard.</summary>
    public static ClusterCatalog WithJoining(this ClusterCatalog catalog, NodeId node, string address, double weight)
    {
        CatalogKeyspace system = catalog.Keyspaces.First(keyspace => keyspace.Id == 0);
        CatalogKeyspace grown = system with { Shards = [system.Shards[0].Add(new CatalogReplica(node, ClusterCatalog.SystemReplica(node, 0)))] };
        var member = new CatalogMember(node, address, weight) { State = MemberState.Joining };
        return catalog with
        {
            Revision = catalog.Revision + 1,
            Members = [.. catalog.Members.Append(member).OrderBy(each => each.Node)],
            Keyspaces = catalog.Keyspaces.Replace(system, grown),
        };
    }

    /// <summary>Why this member can't be let go, in one sentence; null if it can.</summary>
    /// <param name="isUp">Whether a member is up, as far as the node that was asked can tell.</param>
    /// <param name="force">Fewer replicas than now are accepted. Never none.</param>
    public static string? FaultOfRemoving(ClusterCatalog catalog, NodeId node, Func<NodeId, bool> isUp, bool force)
    {
        NodeId[] staying = [.. catalog.Members.Where(member => member.Node != node && member.State != MemberState.Leaving).Select(member => member.Node)];
        if (staying.Length == 0)
        {
            return $"Node {node.Value} is the last member: a cluster has at least one.";
        }

        if (catalog.Find(node)!.State == MemberState.Joining)
        {
            // It may never have run. What it has got meanwhile is counted where it is taken away.
            return null;
        }

        ImmutableArray<CatalogMember> takers = [.. catalog.Members.Where(member => staying.Contains(member.Node) && member is { State: MemberState.Settled, Weight: > 0 })];
        int up = staying.Count(isUp);
        if (up <= staying.Length / 2)
        {
            return $"Of the {staying.Length} members that stay only {up} can be reached: without a majority of them the cluster could change nothing any more. Bring them back first.";
        }

        foreach (CatalogKeyspace keyspace in catalog.Keyspaces)
        {
            foreach (ImmutableArray<CatalogReplica> shard in keyspace.Shards.Where(shard => shard.Any(replica => replica.Node == node)))
            {
                int reached = shard.Count(replica => isUp(replica.Node));
                if (reached <= shard.Length / 2)
                {
                    return $"Of the {shard.Length} replicas of a shard of '{keyspace.Name}' only {reached} can be reached: without a majority nothing can be moved. Bring the nodes back, or replace those whose data is lost.";
                }

                int left = keyspace.Id == 0 ? shard.Length : Math.Min(keyspace.WantedReplicas, takers.Length);
                if (left == 0 || (left < shard.Length && !force))
                {
                    return $"The keyspace '{keyspace.Name}' has {shard.Length} replicas of each shard, and would have {left} on the members that are left: add a member first{(left > 0 ? ", or accept that (--force)" : "")}.";
                }
            }
        }

        return null;
    }

    public static ClusterCatalog WithLeaving(this ClusterCatalog catalog, NodeId node)
    {
        CatalogMember member = catalog.Find(node)!;
        return catalog with { Revision = catalog.Revision + 1, Members = catalog.Members.Replace(member, member with { State = MemberState.Leaving }) };
    }

    /// <summary>In how many shards the node has a replica, or is to have one.</summary>
    public static int ShardsOn(this ClusterCatalog catalog, NodeId node) => catalog.Keyspaces.Sum(keyspace => keyspace.Shards.Count(shard => shard.Any(replica => replica.Node == node)));
}
