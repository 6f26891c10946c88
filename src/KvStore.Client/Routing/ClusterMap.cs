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
            [.. wire.Members.Select(m => new KvMember(m.Node, m.Address, m.Weight, m.Generation) { State = m.State })],
            [.. wire.Keyspaces.Select(PublicKeyspace)],
            wire.Node);
        IsComplete = wire.CatalogRead || previous is { IsComplete: true };
    }

    public KvTopology Public { get; }

    /// <summary>A keyspace that is not in here does not exist, or was created a moment ago: a node said so that had read the catalog since its start. What is as new, or newer, is worth as much.</summary>
    public bool IsComplete { get; }

    /// <summary>What a node tells, unless this client knows better: null for a topology that is older, or of another cluster.</summary>
    public static ClusterMap? Advance(ClusterMap? known, Topology told) =>
        known is null || (known.Public.ClusterId == told.ClusterId && told.Revision >= known.Public.Revision) ? new ClusterMap(told, known) : null;

    public KeyspaceRoute? Find(string name) => _byName.GetValueOrDefault(name);

    private static KvKeyspaceInfo PublicKeyspace(Keyspace k) =>
        new(k.Id, k.Name, k.Policy, k.Replication, k.Epoch, [.. k.Shards.Select(s => new KvShardInfo([.. s.Replicas.Select(r => r.Node)], s.LeaderHint) { Epoch = s.Epoch, Regime = (KvRegime)s.Regime })]);
}

/// <summary>A keyspace and its shards.</summary>
internal sealed class KeyspaceRoute
{
    public KeyspaceRoute(Keyspace wire, KeyspaceRoute? previous)
    {
        Id = wire.Id;
        DefaultReadLevel = wire.DefaultReadLevel;
        Shards = [.. wire.Shards.Select((s, i) => new ShardRoute(s, wire, previous?.Id == wire.Id && i < previous.Shards.Length ? previous.Shards[i] : null))];
    }

    public uint Id { get; }

    /// <summary>Of reads that state none, as the nodes understand them.</summary>
    public ReadLevel DefaultReadLevel { get; }

    public ShardRoute[] Shards { get; }
}

/// <summary>A shard's replicas, its probable leader, and its regime with the epoch since when: the newest of what topologies and answers have told.</summary>
internal sealed class ShardRoute
{
    private readonly Lock _gate = new();
    private volatile uint _leaderHint;
    private ulong _epoch;
    private bool _isOpen;

    public ShardRoute(Shard wire, Keyspace keyspace, ShardRoute? previous)
    {
        ProvisionalAfterMs = keyspace.Policy == PartitionPolicy.Adaptive ? (int)Math.Min(keyspace.ProvisionalAfterMs, int.MaxValue) : 0;

        // Who has no replica of the shard knows only how it was founded; an answer of a replica is always newer.
        bool told = wire.Epoch != 0;
        _epoch = told ? wire.Epoch : keyspace.Epoch;
        PartitionPolicy founding = keyspace.FoundingPolicy == default ? keyspace.Policy : keyspace.FoundingPolicy;
        _isOpen = told ? wire.Regime == Regime.Open : founding == PartitionPolicy.Ap;
        if (previous is not null && previous.Epoch > _epoch)
        {
            (_epoch, _isOpen) = (previous.Epoch, previous.IsOpen);
        }

        Replicas = [.. wire.Replicas.Select(r => r.Node)];
        uint known = wire.LeaderHint != 0 ? wire.LeaderHint : previous?.LeaderHint ?? 0;
        _leaderHint = Replicas.Contains(known) ? known : 0;
    }

    public uint[] Replicas { get; }

    /// <summary>adaptive: after how long without a leader a replica serves provisionally. 0: never.</summary>
    public int ProvisionalAfterMs { get; }

    /// <summary>A replica without a majority may come to serve.</summary>
    public bool IsAdaptive => ProvisionalAfterMs > 0;

    /// <summary>0: not known.</summary>
    public uint LeaderHint => _leaderHint;

    /// <summary>Counts the changes of the regime.</summary>
    public ulong Epoch => Volatile.Read(ref _epoch);

    /// <summary>Any replica serves. Otherwise the leader does.</summary>
    public bool IsOpen => Volatile.Read(ref _isOpen);

    /// <summary>An answer told in which regime the shard is.</summary>
    public void Learn(ulong epoch, Regime regime)
    {
        if (epoch <= Epoch || regime == Regime.Unspecified)
        {
            return;
        }

        lock (_gate)
        {
            if (epoch > _epoch)
            {
                Volatile.Write(ref _isOpen, regime == Regime.Open);
                Volatile.Write(ref _epoch, epoch);
            }
        }
    }

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
