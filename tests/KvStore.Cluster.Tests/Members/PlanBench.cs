using System.Collections.Immutable;
using FluentAssertions;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Node.Catalog;

namespace KvStore.Cluster.Tests.Members;

/// <summary>A cluster on paper: a catalog, and the members that its shards really have, which follow the catalog one change at a time, each when the dice say so.</summary>
internal sealed class PlanBench
{
    private readonly Random _random;
    private readonly Dictionary<ShardId, ImmutableArray<CatalogReplica>> _actual = [];
    private readonly HashSet<NodeId> _down = [];
    private readonly HashSet<ReplicaId> _everRemoved = [];

    public PlanBench(int members, int seed, params (int Shards, int Replicas, int Wanted)[] keyspaces)
    {
        _random = new Random(seed);
        Catalog = ClusterCatalog.Initial("bench", Enumerable.Range(1, members).Select(id => Member((uint)id)));
        foreach ((int shards, int replicas, int wanted) in keyspaces)
        {
            Create(shards, replicas, wanted);
        }

        // What follows the catalog begins where it stands now.
        _ = Shards().Count();
    }

    public ClusterCatalog Catalog { get; private set; }

    /// <summary>Replicas that were placed by plans.</summary>
    public int Placed { get; private set; }

    public static CatalogMember Member(uint id) => new(new NodeId(id), $"node{id}:7001", 1);

    public void Add(uint id)
    {
        MemberChanges.FaultOfAdding(Catalog, new NodeId(id), $"node{id}:7001", 1).Should().BeNull();
        Catalog = Catalog.WithJoining(new NodeId(id), $"node{id}:7001", 1);
    }

    public void Remove(uint id, bool force = false)
    {
        MemberChanges.FaultOfRemoving(Catalog, new NodeId(id), node => !_down.Contains(node), force).Should().BeNull();
        Catalog = Catalog.WithLeaving(new NodeId(id));
    }

    public void Kill(uint id) => _down.Add(new NodeId(id));

    /// <summary>Plans and follows until nobody joins or leaves.</summary>
    public void Settle(int steps = 20_000)
    {
        for (int step = 0; Catalog.IsChanging; step++)
        {
            step.Should().BeLessThan(steps, "it comes to an end: {0}", Describe());
            Step();
        }

        foreach ((ShardId shard, ImmutableArray<CatalogReplica> wanted) in Shards())
        {
            _actual[shard].Should().BeEquivalentTo(wanted, "a catalog without members that come or go describes what is");
        }
    }

    public void Step()
    {
        if (MemberPlan.Next(Catalog, new ShardStandings(Report())) is { } next)
        {
            Check(Catalog, next);
            Catalog = next;
        }

        foreach ((ShardId shard, ImmutableArray<CatalogReplica> wanted) in Shards())
        {
            if (_random.Next(3) == 0)
            {
                Follow(shard, wanted);
            }
        }
    }

    public int CountOn(uint id) => Catalog.Keyspaces.Where(keyspace => keyspace.Id > 0).Sum(keyspace => keyspace.Shards.Count(shard => shard.Any(replica => replica.Node == new NodeId(id))));

    private void Create(int shards, int replicas, int wanted)
    {
        ulong next = Catalog.NextReplicaId;
        uint id = Catalog.NextKeyspaceId;
        NodeId[] nodes = [.. Catalog.Members.Select(member => member.Node)];
        ImmutableArray<ImmutableArray<CatalogReplica>> placed =
            [.. Enumerable.Range(0, shards).Select(number => Enumerable.Range(0, replicas).Select(i => new CatalogReplica(nodes[(number + i) % nodes.Length], new ReplicaId(next++))).ToImmutableArray())];
        Catalog = Catalog with
        {
            Revision = Catalog.Revision + 1,
            NextKeyspaceId = id + 1,
            NextReplicaId = next,
            Keyspaces = Catalog.Keyspaces.Add(new CatalogKeyspace(id, $"k{id}", new KeyspaceMode(PartitionChoice.Cp, Core.Policy.Replication.Sync), new Epoch(1), placed) { WantedReplicas = wanted }),
        };
    }

    private IEnumerable<(ShardId Shard, ImmutableArray<CatalogReplica> Wanted)> Shards()
    {
        foreach (CatalogKeyspace keyspace in Catalog.Keyspaces)
        {
            for (int number = 0; number < keyspace.Shards.Length; number++)
            {
                var shard = new ShardId(keyspace.Id, number);
                _actual.TryAdd(shard, keyspace.Shards[number]);
                yield return (shard, keyspace.Shards[number]);
            }
        }
    }

    /// <summary>As leaders do it: who is new comes first, if its node is up, and who is to go goes then. Needs a majority.</summary>
    private void Follow(ShardId shard, ImmutableArray<CatalogReplica> wanted)
    {
        ImmutableArray<CatalogReplica> actual = _actual[shard];
        if (actual.Count(IsUp) * 2 <= actual.Length)
        {
            return;
        }

        CatalogReplica[] missing = [.. wanted.Except(actual)];
        if (missing.FirstOrDefault(IsUp) is { Node.IsNone: false } fresh)
        {
            _everRemoved.Should().NotContain(fresh.Replica, "ids are never used again");
            actual.Select(replica => replica.Node).Should().NotContain(fresh.Node, "the place is free: there is one storage for each shard on a node");
            _actual[shard] = actual.Add(fresh);
        }
        else if (missing.Length == 0 && actual.Except(wanted).FirstOrDefault() is { Node.IsNone: false } gone)
        {
            _everRemoved.Add(gone.Replica);
            _actual[shard] = actual.Remove(gone);
        }
    }

    private bool IsUp(CatalogReplica replica) => !_down.Contains(replica.Node);

    private IEnumerable<ReplicaStatus> Report()
    {
        foreach ((ShardId shard, _) in Shards().ToList())
        {
            CatalogReplica[] up = [.. _actual[shard].Where(IsUp)];
            foreach (CatalogReplica replica in up)
            {
                var status = new ReplicaStatus { KeyspaceId = shard.Keyspace, Shard = (uint)shard.Number, ReplicaId = replica.Replica.Value, Role = replica == up[0] ? "leader" : "follower" };
                status.Members.AddRange(_actual[shard].Select(member => new ShardMember { Node = member.Node.Value, ReplicaId = member.Replica.Value, Voter = true }));
                yield return status;
            }
        }
    }

    /// <summary>What every step must keep.</summary>
    private void Check(ClusterCatalog before, ClusterCatalog after)
    {
        after.Revision.Should().Be(before.Revision + 1);
        foreach ((CatalogKeyspace was, CatalogKeyspace now) in before.Keyspaces.Zip(after.Keyspaces))
        {
            now.Founders.Should().Equal(was.Founders);
            foreach ((ImmutableArray<CatalogReplica> earlier, ImmutableArray<CatalogReplica> later) in was.Shards.Zip(now.Shards))
            {
                (earlier.Except(later).Count() + later.Except(earlier).Count()).Should().BeLessThanOrEqualTo(1, "one replica at a time");
                later.Select(replica => replica.Node).Should().OnlyHaveUniqueItems();
                later.Should().NotBeEmpty();
                Placed += was.Id == 0 ? 0 : later.Except(earlier).Count();
                later.Except(earlier).All(replica => replica.Replica.Value >= before.NextReplicaId).Should().BeTrue("ids are given out once");
            }
        }

        int moving = after.Keyspaces.Where(keyspace => keyspace.Id > 0).Sum(keyspace => keyspace.Shards.Where((shard, number) => !shard.ToHashSet().SetEquals(_actual[new ShardId(keyspace.Id, number)])).Count());
        moving.Should().BeLessThanOrEqualTo(MemberPlan.MostAtATime);
    }

    private string Describe() => string.Join("; ", Shards().Where(shard => !shard.Wanted.ToHashSet().SetEquals(_actual[shard.Shard])).Select(shard => $"{shard.Shard}: {string.Join(' ', _actual[shard.Shard])} -> {string.Join(' ', shard.Wanted)}"))
        + " members " + string.Join(' ', Catalog.Members.Select(member => $"{member.Node}={member.State}"));
}
