using System.Collections.Immutable;
using KvStore.Core.Identity;

namespace KvStore.Node.Catalog;

/// <summary>
/// What the catalog should say next while members come and go. Pure: from a catalog and how the shards stand to the next catalog, one small step at a time, so that whoever leads the system shard can go on from where another
/// left off. Nothing is remembered but what the catalog says.
/// </summary>
/// <remarks>
/// A replica moves in two steps: first one is added at its new place, and when the shard has settled with it, one too many is taken away. No step is taken with a shard that has not settled in the one before
/// (<see cref="ShardStandings.IsSettled"/>). So every configuration is one member from the last, a shard never has fewer replicas than before, and a place at which a shard's replica was taken away is free for good when another one is put
/// there, under a new id. Members count as joining or leaving until everything has settled, so a catalog without such members describes what is.
/// </remarks>
internal sealed class MemberPlan
{
    /// <summary>Shards whose members change at a time.</summary>
    public const int MostAtATime = 8;

    private readonly ClusterCatalog _catalog;
    private readonly ShardStandings _standings;
    private readonly List<PlannedShard> _shards = [];
    private readonly List<CatalogMember> _takers;

    /// <summary>Replicas that a node loses as soon as what this step begins has settled.</summary>
    private readonly Dictionary<NodeId, int> _promised = [];
    private readonly Dictionary<NodeId, int> _load = [];
    private readonly Dictionary<(uint Keyspace, NodeId Node), int> _loadOf = [];
    private readonly CatalogKeyspace _system;
    private readonly bool _systemSettled;
    private ulong _nextReplica;
    private int _budget;

    private MemberPlan(ClusterCatalog catalog, ShardStandings standings)
    {
        _catalog = catalog;
        _standings = standings;
        _nextReplica = catalog.NextReplicaId;
        _system = catalog.Keyspaces.First(keyspace => keyspace.Id == 0);
        _systemSettled = standings.IsSettled(ShardId.System, _system.Shards[0]);
        foreach (CatalogKeyspace keyspace in catalog.Keyspaces.Where(keyspace => keyspace.Id > 0))
        {
            foreach (CatalogReplica replica in keyspace.Shards.SelectMany(shard => shard))
            {
                Count(keyspace.Id, replica.Node, 1);
            }
        }

        _takers = [.. catalog.Members.Where(Takes)];
        foreach (CatalogKeyspace keyspace in catalog.Keyspaces.Where(keyspace => keyspace.Id > 0))
        {
            int target = Math.Min(keyspace.WantedReplicas, _takers.Count);
            for (int number = 0; number < keyspace.Shards.Length; number++)
            {
                var id = new ShardId(keyspace.Id, number);
                _shards.Add(new PlannedShard(id, target, keyspace.Shards[number]) { IsSettled = standings.IsSettled(id, keyspace.Shards[number]) });
            }
        }

        _budget = MostAtATime - _shards.Count(shard => !shard.IsSettled);
    }

    /// <summary>The next catalog; null if there is nothing to do, or it has to wait.</summary>
    public static ClusterCatalog? Next(ClusterCatalog catalog, ShardStandings standings) => catalog.IsChanging ? new MemberPlan(catalog, standings).Next() : null;

    private ClusterCatalog? Next()
    {
        if (LeavesBeforeItCame() is { } never)
        {
            return never;
        }

        foreach (PlannedShard shard in _shards)
        {
            GiveUpVoteless(shard);
        }

        foreach (PlannedShard shard in _shards.Where(shard => shard is { IsSettled: true, IsChanged: false }))
        {
            Step(shard);
        }

        bool balanced = true;
        foreach (CatalogMember joining in _takers.Where(member => member.State == MemberState.Joining))
        {
            balanced &= Balance(joining);
        }

        if (_shards.Exists(shard => shard.IsChanged))
        {
            return _catalog with { Revision = _catalog.Revision + 1, Keyspaces = [.. _catalog.Keyspaces.Select(Planned)], NextReplicaId = _nextReplica };
        }

        return balanced && _systemSettled && _shards.TrueForAll(shard => shard.IsSettled) ? Finish() : null;
    }

    /// <summary>A newcomer that never came to vote in the system shard leaves it at once: an address may have been wrong.</summary>
    private ClusterCatalog? LeavesBeforeItCame()
    {
        CatalogReplica own = _system.Shards[0].FirstOrDefault(replica => StateOf(replica.Node) == MemberState.Leaving && LoadOf(replica.Node) == 0 && _standings.IsKnownVoteless(ShardId.System, replica.Replica));
        return own.Node.IsNone || _system.Shards[0].Length == 1 ? null : WithoutSystemReplica(own.Node);
    }

    /// <summary>A replica on a node that leaves, and that never came to vote, has nothing to hand over: it is dropped at once. That is how an unfinished move to a node that died is undone.</summary>
    private void GiveUpVoteless(PlannedShard shard)
    {
        int index = shard.IsSettled ? -1 : shard.Replicas.FindIndex(replica => StateOf(replica.Node) == MemberState.Leaving && _standings.IsKnownVoteless(shard.Id, replica.Replica));
        if (index >= 0 && shard.Replicas.Count > 1)
        {
            Remove(shard, index);
        }
    }

    private void Step(PlannedShard shard)
    {
        int leaving = shard.Replicas.FindIndex(replica => StateOf(replica.Node) == MemberState.Leaving);
        int staying = shard.Replicas.Count(replica => StateOf(replica.Node) != MemberState.Leaving);
        if (_budget <= 0)
        {
            return;
        }

        if (staying < shard.Target)
        {
            Add(shard);
        }
        else if (leaving >= 0 && staying > 0)
        {
            Remove(shard, leaving);
        }
        else if (staying > shard.Target && staying > 1 && shard.Replicas.Any(replica => StateOf(replica.Node) == MemberState.Joining))
        {
            Remove(shard, IndexOfSurplus(shard));
        }
    }

    /// <summary>Gives a newcomer more of the shards, as far as its share goes.</summary>
    /// <returns>It has its share.</returns>
    private bool Balance(CatalogMember newcomer)
    {
        int share = (int)Math.Floor(_shards.Sum(shard => shard.Target) * newcomer.Weight / _takers.Sum(member => member.Weight));
        while (LoadOf(newcomer.Node) < share)
        {
            if (Movable(newcomer.Node) is not { } next)
            {
                // As near to its share as can be, unless something is still on its way.
                return _shards.TrueForAll(shard => shard is { IsSettled: true, IsChanged: false });
            }

            if (_budget <= 0)
            {
                return false;
            }

            Add(next, newcomer.Node);
        }

        return true;
    }

    /// <summary>A shard that has a replica at who has most for his weight, and of that one's keyspaces the one that is spread least.</summary>
    private PlannedShard? Movable(NodeId newcomer)
    {
        IEnumerable<CatalogMember> donors = _takers.Where(member => member.Node != newcomer && (member.State == MemberState.Settled || LoadOf(member.Node) > LoadOf(newcomer) + 1));
        foreach (CatalogMember donor in donors.OrderByDescending(member => (LoadOf(member.Node) - _promised.GetValueOrDefault(member.Node)) / member.Weight).ThenBy(member => member.Node))
        {
            PlannedShard? found = _shards.Where(shard => CanMove(shard) && shard.Has(donor.Node) && !shard.Has(newcomer)).MaxBy(shard => LoadIn(shard, donor.Node) - LoadIn(shard, newcomer));
            if (found is not null)
            {
                _promised[donor.Node] = _promised.GetValueOrDefault(donor.Node) + 1;
                return found;
            }
        }

        return null;
    }

    private static bool CanMove(PlannedShard shard) => shard is { IsSettled: true, IsChanged: false } && shard.Replicas.Count == shard.Target;

    /// <summary>What is left when every shard has settled where it shall be: places in the system shard, and the members themselves.</summary>
    private ClusterCatalog? Finish()
    {
        ImmutableArray<CatalogReplica> system = _system.Shards[0];
        foreach (CatalogMember leaving in _catalog.Members.Where(member => member.State == MemberState.Leaving && LoadOf(member.Node) == 0))
        {
            if (!system.Any(replica => replica.Node == leaving.Node))
            {
                return _catalog with { Revision = _catalog.Revision + 1, Members = _catalog.Members.Remove(leaving), Removed = [.. _catalog.Removed.Append(leaving.Node).Order()] };
            }

            if (system.Length > 1)
            {
                return WithoutSystemReplica(leaving.Node);
            }
        }

        CatalogMember? joined = _catalog.Members.FirstOrDefault(member => member.State == MemberState.Joining && system.Any(replica => replica.Node == member.Node));
        return joined is null ? null : _catalog with { Revision = _catalog.Revision + 1, Members = _catalog.Members.Replace(joined, joined with { State = MemberState.Settled }) };
    }

    private ClusterCatalog WithoutSystemReplica(NodeId node) => _catalog with
    {
        Revision = _catalog.Revision + 1,
        Keyspaces = _catalog.Keyspaces.Replace(_system, _system with { Shards = [[.. _system.Shards[0].Where(replica => replica.Node != node)]] }),
    };

    private void Add(PlannedShard shard)
    {
        CatalogMember? place = _takers.Where(member => !shard.Has(member.Node)).OrderBy(member => LoadOf(member.Node) / member.Weight).ThenBy(member => LoadIn(shard, member.Node)).ThenBy(member => member.Node).FirstOrDefault();
        if (place is not null)
        {
            Add(shard, place.Node);
        }
    }

    private void Add(PlannedShard shard, NodeId node)
    {
        _budget--;
        shard.Replicas.Add(new CatalogReplica(node, new ReplicaId(_nextReplica++)));
        shard.IsChanged = true;
        Count(shard.Id.Keyspace, node, 1);
    }

    /// <summary>The newest replica takes the place in the order: callers prefer the first, and those shall be spread as well.</summary>
    private void Remove(PlannedShard shard, int index)
    {
        _budget--;
        Count(shard.Id.Keyspace, shard.Replicas[index].Node, -1);
        shard.Replicas[index] = shard.Replicas[^1];
        shard.Replicas.RemoveAt(shard.Replicas.Count - 1);
        shard.IsChanged = true;
    }

    /// <summary>On the node that has most for its weight. Newcomers keep what they have just got.</summary>
    private int IndexOfSurplus(PlannedShard shard)
    {
        CatalogReplica surplus = shard.Replicas.OrderBy(replica => StateOf(replica.Node) == MemberState.Joining).ThenByDescending(replica => LoadOf(replica.Node) / WeightOf(replica.Node)).ThenBy(replica => replica.Node).First();
        return shard.Replicas.IndexOf(surplus);
    }

    private CatalogKeyspace Planned(CatalogKeyspace keyspace) => keyspace.Id == 0
        ? keyspace
        : keyspace with { Shards = [.. _shards.Where(shard => shard.Id.Keyspace == keyspace.Id).Select(shard => shard.Replicas.ToImmutableArray())] };

    /// <summary>Who gets replicas. A newcomer not before it runs and votes in the system shard.</summary>
    private bool Takes(CatalogMember member) => member.Weight > 0
        && (member.State == MemberState.Settled || (member.State == MemberState.Joining && (LoadOf(member.Node) > 0 || VotesInSystem(member.Node))));

    private bool VotesInSystem(NodeId node) => _system.Shards[0].FirstOrDefault(replica => replica.Node == node) is { Node.IsNone: false } own && _standings.IsKnownVoting(ShardId.System, own.Replica);

    /// <summary>A replica may be on a node that is no member any more only if somebody has changed the catalog by hand; it is in the way of nothing.</summary>
    private MemberState StateOf(NodeId node) => _catalog.Find(node)?.State ?? MemberState.Leaving;

    private double WeightOf(NodeId node) => _catalog.Find(node) is { Weight: > 0 } member ? member.Weight : 1e-9;

    private int LoadOf(NodeId node) => _load.GetValueOrDefault(node);

    private int LoadIn(PlannedShard shard, NodeId node) => _loadOf.GetValueOrDefault((shard.Id.Keyspace, node));

    private void Count(uint keyspace, NodeId node, int change)
    {
        _load[node] = LoadOf(node) + change;
        _loadOf[(keyspace, node)] = _loadOf.GetValueOrDefault((keyspace, node)) + change;
    }

    /// <param name="Target">How many replicas it shall have.</param>
    private sealed record PlannedShard(ShardId Id, int Target)
    {
        public PlannedShard(ShardId id, int target, ImmutableArray<CatalogReplica> replicas)
            : this(id, target) => Replicas = [.. replicas];

        public List<CatalogReplica> Replicas { get; } = [];

        public bool IsSettled { get; init; }

        public bool IsChanged { get; set; }

        public bool Has(NodeId node) => Replicas.Exists(replica => replica.Node == node);
    }
}
