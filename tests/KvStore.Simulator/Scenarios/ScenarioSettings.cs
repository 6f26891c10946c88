using KvStore.Core.Consensus;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Scenarios;

/// <summary>What a seed makes of a scenario: the cluster, its bounds, the load and the faults. Small bounds, so that a short run meets all of them.</summary>
internal sealed record ScenarioSettings
{
    public required KeyspaceMode Mode { get; init; }

    public required int Nodes { get; init; }

    public required ReplicaOptions Replica { get; init; }

    public required long TableBytes { get; init; }

    public required long PreloadBytes { get; init; }

    public required int Keys { get; init; }

    public required int Clients { get; init; }

    public required int OperationsPerClient { get; init; }

    public required int MaxValueBytes { get; init; }

    /// <summary>How long clients think between two operations, at most.</summary>
    public required int MaxThinkUs { get; init; }

    /// <summary>Mean time between two faults. Zero: none.</summary>
    public required int FaultEveryMs { get; init; }

    /// <summary>Whether a replica may lose its disk and come back empty.</summary>
    public required bool MayWipe { get; init; }

    /// <summary>How far acknowledgements may run ahead of the commit.</summary>
    public MaxLag MaxLag { get; init; } = MaxLag.Default;

    public bool IsOpen => Mode.Partition == PartitionChoice.Ap;

    public static ScenarioSettings Draw(ScenarioKind kind, Random random)
    {
        bool open = kind != ScenarioKind.Cp;
        int dice = random.Next(10);
        Replication replication = dice switch { < 6 => Replication.Sync, < 8 => Replication.Async, _ => Replication.BestEffort };
        int keep = open ? 8_192 : random.Next(3) switch { 0 => 4, 1 => 32, _ => 8_192 };
        bool tight = random.Next(2) == 0;
        int keys = random.Next(2, 7);
        int maxValueBytes = random.Next(4) == 0 ? 4_000 : 200;

        // Healing needs the keys of one page in memory at one time: below that it would wait for ever.
        int tableBytes = open ? keys * ((4 * maxValueBytes) + 500) : random.Next(0, 4_000);
        bool hurried = random.Next(2) == 0;
        return new ScenarioSettings
        {
            Mode = new KeyspaceMode(open ? PartitionChoice.Ap : PartitionChoice.Cp, replication),
            Nodes = open ? 3 : random.Next(3) == 0 ? 5 : 3,
            TableBytes = tight ? tableBytes : 1 << 20,
            PreloadBytes = random.Next(2) == 0 ? 0 : 1 << 20,
            Keys = keys,
            Clients = random.Next(3, 8),
            OperationsPerClient = random.Next(20, 80),
            MaxValueBytes = maxValueBytes,
            MaxThinkUs = hurried ? 20_000 : 300_000,
            FaultEveryMs = random.Next(10) switch { 0 => 0, < 5 => 400, _ => 1_200 },
            MayWipe = DrawWipe(kind, random),
            MaxLag = random.Next(3) switch { 0 => new MaxLag(600, 200), 1 => new MaxLag(20_000, 60_000), _ => MaxLag.Default },
            Replica = new ReplicaOptions
            {
                Raft = new RaftOptions
                {
                    HeartbeatTicks = 2,
                    MaxInflightMessages = random.Next(2) == 0 ? 4 : 128,
                    MaxAppendBytes = random.Next(2) == 0 ? 600 : 256 * 1024,
                    MaxCommittedBytesPerReady = random.Next(2) == 0 ? 400 : 1024 * 1024,
                    MaxReadRounds = random.Next(1, 5),
                    SnapshotAnswerTicks = random.Next(2) == 0 ? 20 : 200,
                },
                KeepEntries = keep,
                CompactStep = keep == 8_192 ? 4_096 : random.Next(1, 9),
                SealTicks = random.Next(1, 21),
                SealBytes = random.Next(2) == 0 ? 1_000 : 512 * 1024,
                SnapshotPageBytes = random.Next(2) == 0 ? 300 : 512 * 1024,
                SnapshotPageTicks = random.Next(2) == 0 ? 20 : 200,
                ScanPageBytes = random.Next(2) == 0 ? 300 : 1_048_576,
                PullTicks = random.Next(2) == 0 ? 8 : 80,
            },
        };
    }

    // Drawn in every scenario, so that a seed means the same load and faults in all of them.
    private static bool DrawWipe(ScenarioKind kind, Random random) => random.Next(4) >= 0 && kind == ScenarioKind.Wipe;

    public override string ToString() =>
        $"{Mode}, {Nodes} nodes, {Clients} clients x {OperationsPerClient} operations on {Keys} keys, table {TableBytes} bytes, keeps {Replica.KeepEntries} entries, "
        + $"a fault every {FaultEveryMs} ms{(MayWipe ? ", a disk may be lost" : "")}";
}

internal enum ScenarioKind
{
    /// <summary>An ordered shard.</summary>
    Cp,

    /// <summary>An open shard.</summary>
    Ap,

    /// <summary>An open shard of which one replica loses its disk and comes back under its old ids.</summary>
    Wipe,
}
