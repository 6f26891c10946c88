using System.Collections.Immutable;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Catalog;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Network;

namespace KvStore.Simulator.Clusters;

/// <summary>All nodes of a run, what lies between them, and the first thing that went wrong.</summary>
internal sealed class World : IFaultGround
{
    private readonly Dictionary<(ShardId Shard, Term Term), NodeId> _leaders = [];

    public World(ClusterSettings settings, Timeline timeline, EventTrace trace, SeedSource seeds)
    {
        Settings = settings;
        Timeline = timeline;
        Trace = trace;
        Network = new SimulatedNetwork(timeline, trace, seeds.Next(), settings.Nodes);
        Catalog = Place(settings, seeds.Next());
        Damage = seeds.Next();
        for (int i = 0; i < settings.Nodes; i++)
        {
            Nodes.Add(new ClusterNode(this, i, seeds.Next()));
        }
    }

    public ClusterSettings Settings { get; }

    public Timeline Timeline { get; }

    public EventTrace Trace { get; }

    public SimulatedNetwork Network { get; }

    public List<ClusterNode> Nodes { get; } = [];

    int IFaultGround.NodeCount => Nodes.Count;

    int? IFaultGround.LeaderIndex => null;

    ReplicaOptions IFaultGround.Replica => Settings.Replica;

    /// <summary>What every node begins with.</summary>
    public ClusterCatalog Catalog { get; }

    /// <summary>Decides which frames are damaged.</summary>
    public Random Damage { get; }

    /// <summary>What went wrong where an exception would have been caught by the product. The run ends at the next look.</summary>
    public string? Failure { get; private set; }

    /// <summary>Called when a node's storage has failed.</summary>
    public Action<ClusterNode> StorageFailed { get; set; } = _ => { };

    public void Fail(string what) => Failure ??= what;

    public void Send(ClusterNode from, ClusterNode to, Action deliver) => Network.Send(from.Index, to.Index, deliver);

    public void NoteLeader(ShardId shard, Term term, NodeId leader)
    {
        if (!_leaders.TryAdd((shard, term), leader) && _leaders[(shard, term)] != leader)
        {
            Fail($"{shard} has two leaders in term {term.Value}: {_leaders[(shard, term)]} and {leader}.");
        }
    }

    private static ClusterCatalog Place(ClusterSettings settings, Random random)
    {
        ClusterCatalog empty = ClusterCatalog.Initial("simulated", Enumerable.Range(1, settings.Nodes).Select(id => new CatalogMember(new NodeId((uint)id), $"node{id}:1", 1)));
        ulong replica = empty.NextReplicaId;
        var keyspaces = empty.Keyspaces.ToBuilder();
        foreach (KeyspaceSettings keyspace in settings.Keyspaces)
        {
            var shards = ImmutableArray.CreateBuilder<ImmutableArray<CatalogReplica>>();
            for (int shard = 0; shard < keyspace.Shards; shard++)
            {
                CatalogMember[] members = [.. empty.Members];
                random.Shuffle(members);
                shards.Add([.. members.Take(ClusterSettings.Replicas).Select(member => new CatalogReplica(member.Node, new ReplicaId(replica++)))]);
            }

            keyspaces.Add(new CatalogKeyspace(keyspace.Id, keyspace.Name, keyspace.Mode, new Epoch(1), shards.ToImmutable()));
        }

        return empty with { Revision = 1, Keyspaces = keyspaces.ToImmutable(), NextKeyspaceId = (uint)settings.Keyspaces.Count + 1, NextReplicaId = replica };
    }
}
