using KvStore.Contracts.V1;

namespace KvStore.Client.Routing;

/// <summary>One topology, made ready for routing. Immutable but for the leader hints, which answers correct between topologies.</summary>
internal sealed class ClusterMap
{
    private readonly Dictionary<string, KeyspaceRoute> _byName;

    public ClusterMap(Topology wire, ClusterMap? previous)
    {
        _byName = wire.Keyspaces.ToDictionary(k => k.Name, k => new KeyspaceRoute(k, previous?.Find(k.Name)), StringComparer.Ordinal);
        Public = new KvTopology(
            wire.ClusterId,
            wire.Revision,
            [.. wire.Members.Select(m => new KvMember(m.Node, m.Address, m.Weight, m.Generation))],
            [.. wire.Keyspaces.Select(PublicKeyspace)],
            wire.Node);
    }

    public KvTopology Public { get; }

    /// <summary>What a node tells, unless this client knows better: null for a topology that is older, or of another cluster.</summary>
    public static ClusterMap? Advance(ClusterMap? known, Topology told) =>
        known is null || (known.Public.ClusterId == told.ClusterId && told.Revision >= known.Public.Revision) ? new ClusterMap(told, known) : null;

    public KeyspaceRoute? Find(string name) => _byName.GetValueOrDefault(name);

    private static KvKeyspaceInfo PublicKeyspace(Keyspace k) =>
        new(k.Id, k.Name, k.Policy, k.Replication, k.Epoch, [.. k.Shards.Select(s => new KvShardInfo([.. s.Replicas.Select(r => r.Node)], s.LeaderHint))]);
}

/// <summary>A keyspace and its shards.</summary>
internal sealed class KeyspaceRoute
{
    public KeyspaceRoute(Keyspace wire, KeyspaceRoute? previous)
    {
        Id = wire.Id;
        Epoch = wire.Epoch;
        IsOpen = wire.Policy == PartitionPolicy.Ap;
        DefaultReadLevel = wire.DefaultReadLevel;
        Shards = [.. wire.Shards.Select((s, i) => new ShardRoute(s, previous?.Id == wire.Id && i < previous.Shards.Length ? previous.Shards[i] : null))];
    }

    public uint Id { get; }

    public ulong Epoch { get; }

    /// <summary>ap: any replica serves. Otherwise the leader does.</summary>
    public bool IsOpen { get; }

    /// <summary>Of reads that state none, as the nodes understand them.</summary>
    public ReadLevel DefaultReadLevel { get; }

    public ShardRoute[] Shards { get; }
}

/// <summary>A shard's replicas and its probable leader.</summary>
internal sealed class ShardRoute
{
    private volatile uint _leaderHint;

    public ShardRoute(Shard wire, ShardRoute? previous)
    {
        Replicas = [.. wire.Replicas.Select(r => r.Node)];
        uint known = wire.LeaderHint != 0 ? wire.LeaderHint : previous?.LeaderHint ?? 0;
        _leaderHint = Replicas.Contains(known) ? known : 0;
    }

    public uint[] Replicas { get; }

    /// <summary>0: not known.</summary>
    public uint LeaderHint => _leaderHint;

    /// <summary>An answer told who leads. A node without a replica can't, so a hint to it is worth nothing.</summary>
    public void Learn(uint leader)
    {
        if (_leaderHint != leader && Array.IndexOf(Replicas, leader) >= 0)
        {
            _leaderHint = leader;
        }
    }

    /// <summary>This node does not lead, whatever was believed.</summary>
    public void Forget(uint node)
    {
        if (_leaderHint == node)
        {
            _leaderHint = 0;
        }
    }
}
