using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Simulator.Scenarios;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Clusters;

/// <summary>A keyspace of a run.</summary>
internal sealed record KeyspaceSettings(uint Id, string Name, KeyspaceMode Mode, int Shards)
{
    public bool IsOpen => Mode.Partition == PartitionChoice.Ap;
}

/// <summary>What a seed makes of a whole cluster: its size, its keyspaces, the bounds, the load and the faults.</summary>
internal sealed record ClusterSettings
{
    /// <summary>Replicas of a shard; in a larger cluster most nodes have none of a given shard, and forward.</summary>
    public const int Replicas = 3;

    public required int Nodes { get; init; }

    /// <summary>Shard loops of each node.</summary>
    public required int Loops { get; init; }

    public required IReadOnlyList<KeyspaceSettings> Keyspaces { get; init; }

    public required ReplicaOptions Replica { get; init; }

    public required long TableBytes { get; init; }

    public required long PreloadBytes { get; init; }

    /// <summary>In each keyspace.</summary>
    public required int Keys { get; init; }

    public required int Clients { get; init; }

    /// <summary>Operations that one client has under way at one time.</summary>
    public required int WorkersPerClient { get; init; }

    public required int OperationsPerWorker { get; init; }

    public required int MaxValueBytes { get; init; }

    /// <summary>How long workers think between two operations, at most.</summary>
    public required int MaxThinkUs { get; init; }

    public required int AttemptTimeoutMs { get; init; }

    /// <summary>Mean time between two faults. Zero: none.</summary>
    public required int FaultEveryMs { get; init; }

    /// <summary>What the plan of faults is drawn for.</summary>
    public required ScenarioSettings Faults { get; init; }

    /// <summary>Share of frames between nodes that arrive damaged.</summary>
    public required double Damage { get; init; }

    public static ClusterSettings Draw(Random random)
    {
        ScenarioSettings one = ScenarioSettings.Draw(ScenarioKind.Consensus, random);
        int keys = random.Next(2, 6);
        Replication open = random.Next(3) == 0 ? Replication.Async : Replication.Sync;
        Replication early = random.Next(3) == 0 ? Replication.BestEffort : Replication.Async;
        bool tight = random.Next(2) == 0;
        return new ClusterSettings
        {
            Nodes = random.Next(10) switch { < 5 => 3, < 7 => 4, _ => 5 },
            Loops = random.Next(1, 4),
            Keyspaces =
            [
                new KeyspaceSettings(1, "orders", new KeyspaceMode(PartitionChoice.Cp, Replication.Sync), random.Next(1, 4)),
                new KeyspaceSettings(2, "clicks", new KeyspaceMode(PartitionChoice.Cp, early), 1),
                new KeyspaceSettings(3, "carts", new KeyspaceMode(PartitionChoice.Ap, open), random.Next(1, 3)),
            ],
            Replica = one.Replica,

            // Healing needs the keys of one page in memory at one time.
            TableBytes = tight ? 3 * keys * ((4 * one.MaxValueBytes) + 500) : 1 << 20,
            PreloadBytes = one.PreloadBytes,
            Keys = keys,
            Clients = random.Next(2, 5),
            WorkersPerClient = random.Next(1, 4),
            OperationsPerWorker = random.Next(20, 60),
            MaxValueBytes = one.MaxValueBytes,
            MaxThinkUs = Math.Min(300_000, one.MaxThinkUs),
            AttemptTimeoutMs = random.Next(2) == 0 ? 300 : 1_500,
            FaultEveryMs = one.FaultEveryMs,
            Faults = one,
            Damage = random.Next(2) == 0 ? 0 : 0.003,
        };
    }

    public override string ToString() =>
        $"{Nodes} nodes with {Loops} loops, {string.Join(", ", Keyspaces.Select(keyspace => $"{keyspace.Name} {keyspace.Mode} in {keyspace.Shards}"))}, "
        + $"{Clients} clients x {WorkersPerClient} x {OperationsPerWorker} operations on {Keys} keys each, table {TableBytes} bytes, keeps {Replica.KeepEntries} entries, "
        + $"a fault every {FaultEveryMs} ms{(Damage > 0 ? ", damaged frames" : "")}";
}
