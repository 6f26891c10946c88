using System.Collections.Immutable;
using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using Durability = KvStore.Core.Policy.Durability;
using MaxLag = KvStore.Core.Policy.MaxLag;
using ShardRegime = KvStore.Core.Replicas.ShardRegime;

namespace KvStore.Node.Catalog;

/// <summary>The catalog as the record of the system shard, and as the topology that clients follow.</summary>
internal static class CatalogCodec
{
    private const uint Format = 1;

    public static byte[] Encode(ClusterCatalog catalog)
    {
        var record = new CatalogRecord
        {
            Format = Format,
            ClusterId = catalog.ClusterId,
            Revision = catalog.Revision,
            NextKeyspaceId = catalog.NextKeyspaceId,
            NextReplicaId = catalog.NextReplicaId,
        };
        record.Members.AddRange(catalog.Members.Select(ToWire));
        record.RemovedNodes.AddRange(catalog.Removed.Select(node => node.Value));
        record.Keyspaces.AddRange(catalog.Keyspaces.Select(keyspace => ToWire(keyspace)));
        return record.ToByteArray();
    }

    public static ClusterCatalog Decode(ReadOnlySpan<byte> bytes)
    {
        CatalogRecord record = CatalogRecord.Parser.ParseFrom(bytes);
        if (record.Format != Format)
        {
            throw new InvalidDataException($"The catalog has format {record.Format}; this version of KvStore reads format {Format}. Upgrade this node.");
        }

        return new ClusterCatalog
        {
            ClusterId = record.ClusterId,
            Revision = record.Revision,
            NextKeyspaceId = record.NextKeyspaceId,
            NextReplicaId = record.NextReplicaId,
            Members = [.. record.Members.Select(FromWire)],
            Removed = [.. record.RemovedNodes.Select(node => new NodeId(node))],
            Keyspaces = [.. record.Keyspaces.Select(FromWire)],
        };
    }

    public static Topology ToTopology(ClusterCatalog catalog, NodeId self, Func<ShardId, NodeId> leaderOf, Func<ShardId, ShardRegime?> regimeOf)
    {
        var topology = new Topology { ClusterId = catalog.ClusterId, Revision = catalog.Revision, Node = self.Value };
        topology.Members.AddRange(catalog.Members.Select(ToWire));
        topology.Keyspaces.AddRange(catalog.Keyspaces.Select(keyspace => ToWire(keyspace, leaderOf, regimeOf)));
        return topology;
    }

    public static Keyspace ToWire(CatalogKeyspace keyspace, Func<ShardId, NodeId>? leaderOf = null, Func<ShardId, ShardRegime?>? regimeOf = null)
    {
        var wire = new Keyspace
        {
            Id = keyspace.Id,
            Name = keyspace.Name,
            Policy = (Contracts.V1.PartitionPolicy)keyspace.Mode.Partition,
            Replication = (Contracts.V1.Replication)keyspace.Mode.Replication,
            Epoch = keyspace.Epoch.Value,
            MaxLag = new Contracts.V1.MaxLag { Bytes = (uint)keyspace.MaxLag.Bytes, TimeMs = (uint)keyspace.MaxLag.TimeMs },
            Durability = keyspace.MemoryBytes > 0 ? Contracts.V1.Durability.Memory : Contracts.V1.Durability.Unspecified,
            MemoryBytes = (ulong)keyspace.MemoryBytes,
            ProvisionalAfterMs = keyspace.Mode.Partition == PartitionChoice.Adaptive ? (uint)keyspace.ProvisionalAfter.Ms : 0,
            DefaultTtlMs = keyspace.DefaultTtlMs,
            DefaultReadLevel = (ReadLevel)keyspace.DefaultReadLevel,
            FoundingPolicy = keyspace.FoundingMode == keyspace.Mode ? default : (Contracts.V1.PartitionPolicy)keyspace.FoundingMode.Partition,
            FoundingReplication = keyspace.FoundingMode == keyspace.Mode ? default : (Contracts.V1.Replication)keyspace.FoundingMode.Replication,
            Alterations = keyspace.Alterations,
            WantedReplicas = keyspace.WantedReplicas == keyspace.Founders[0].Length ? 0 : (uint)keyspace.WantedReplicas,
            Conflicts = keyspace.Conflicts == ConflictRule.Siblings ? Conflicts.Unspecified : (Conflicts)keyspace.Conflicts,
        };
        for (int number = 0; number < keyspace.Shards.Length; number++)
        {
            var shard = new Shard { LeaderHint = leaderOf?.Invoke(new ShardId(keyspace.Id, number)).Value ?? 0 };
            shard.Replicas.AddRange(keyspace.Shards[number].Select(ToWire));
            if (!keyspace.Founders[number].SequenceEqual(keyspace.Shards[number]))
            {
                shard.Founders.AddRange(keyspace.Founders[number].Select(ToWire));
            }

            if (leaderOf is not null)
            {
                // In the founding regime as long as this node has not heard of another one.
                ShardRegime? regime = regimeOf?.Invoke(new ShardId(keyspace.Id, number));
                shard.Epoch = regime?.Epoch.Value ?? keyspace.Epoch.Value;
                shard.Regime = regime is { } known
                    ? known.IsOrdered ? Regime.Ordered : Regime.Open
                    : keyspace.FoundingMode.Partition == PartitionChoice.Ap ? Regime.Open : Regime.Ordered;
            }

            wire.Shards.Add(shard);
        }

        return wire;
    }

    public static CatalogMember FromWire(Member member) => new(new NodeId(member.Node), member.Address, member.Weight, member.Generation) { State = (MemberState)member.State };

    public static Member ToWire(CatalogMember member) =>
        new() { Node = member.Node.Value, Address = member.Address, Weight = member.Weight, Generation = member.Generation, State = (Contracts.V1.MemberState)member.State };

    private static CatalogKeyspace FromWire(Keyspace wire) => new(
        wire.Id,
        wire.Name,
        new KeyspaceMode((PartitionChoice)wire.Policy, (Core.Policy.Replication)wire.Replication),
        new Epoch(wire.Epoch),
        [.. wire.Shards.Select(shard => FromWire(shard.Replicas))],
        [.. wire.Shards.Select(shard => FromWire(FoundersOf(shard)))])
    {
        MaxLag = FromWire(wire.MaxLag),
        ProvisionalAfter = ProvisionalAfterOf(wire.ProvisionalAfterMs),
        DefaultTtlMs = wire.DefaultTtlMs,
        DefaultReadLevel = (Core.Replicas.ReadLevel)wire.DefaultReadLevel,
        FoundingMode = wire.FoundingPolicy == default
            ? new KeyspaceMode((PartitionChoice)wire.Policy, (Core.Policy.Replication)wire.Replication)
            : new KeyspaceMode((PartitionChoice)wire.FoundingPolicy, (Core.Policy.Replication)wire.FoundingReplication),
        Alterations = wire.Alterations,
        WantedReplicas = wire.WantedReplicas == 0 && wire.Shards.Count > 0 ? FoundersOf(wire.Shards[0]).Count : (int)Math.Min(wire.WantedReplicas, KvLimits.MaxReplicas),
        Conflicts = FromWire(wire.Conflicts),
        MemoryBytes = FromWire(wire.Durability) == Durability.Memory ? (long)Math.Min(wire.MemoryBytes, long.MaxValue) : 0,
    };

    public static Durability FromWire(Contracts.V1.Durability wire) => wire == Contracts.V1.Durability.Unspecified ? Durability.Disk : (Durability)wire;

    /// <summary>Zero: on the disk.</summary>
    public static long MemoryBytesOf(CreateKeyspaceRequest request) =>
        FromWire(request.Durability) == Durability.Memory && request.MemoryBytes == 0 ? MemoryBound.DefaultBytes : (long)Math.Min(request.MemoryBytes, long.MaxValue);

    /// <summary>Zero is the default. The bounds are checked by whoever takes the setting in.</summary>
    public static ProvisionalAfter ProvisionalAfterOf(uint ms) => ms == 0 ? ProvisionalAfter.Default : new ProvisionalAfter((int)Math.Min(ms, int.MaxValue));

    public static ConflictRule FromWire(Conflicts wire) => wire == Conflicts.Unspecified ? ConflictRule.Siblings : (ConflictRule)wire;

    /// <summary>What is not set is the default. The bounds are checked by whoever takes the setting in.</summary>
    public static MaxLag FromWire(Contracts.V1.MaxLag? wire) => new(
        wire is null or { Bytes: 0 } ? MaxLag.Default.Bytes : (int)Math.Min(wire.Bytes, int.MaxValue),
        wire is null or { TimeMs: 0 } ? MaxLag.Default.TimeMs : (int)Math.Min(wire.TimeMs, int.MaxValue));

    private static Google.Protobuf.Collections.RepeatedField<Replica> FoundersOf(Shard shard) => shard.Founders.Count > 0 ? shard.Founders : shard.Replicas;

    private static ImmutableArray<CatalogReplica> FromWire(IEnumerable<Replica> replicas) =>
        [.. replicas.Select(replica => new CatalogReplica(new NodeId(replica.Node), new ReplicaId(replica.ReplicaId)))];

    private static Replica ToWire(CatalogReplica replica) => new() { Node = replica.Node.Value, ReplicaId = replica.Replica.Value };
}
