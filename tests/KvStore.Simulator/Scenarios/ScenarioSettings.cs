using KvStore.Core.Consensus;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Scenarios;

/// <summary>What a seed makes of a scenario: the cluster, its bounds, the load and the faults. Small bounds, so that a short run meets all of them.</summary>
internal sealed record ScenarioSettings
{
    /// <summary>Of the ordinary clients of an open shard.</summary>
    public const int MostKeys = 6;

    public required KeyspaceMode Mode { get; init; }

    public required int Nodes { get; init; }

    /// <summary>Nodes that are spares: the shard begins without them. Its members change then.</summary>
    public int Spares { get; init; }

    public int FoundingNodes => Nodes - Spares;

    public required ReplicaOptions Replica { get; init; }

    public required long TableBytes { get; init; }

    public required long PreloadBytes { get; init; }

    public long RetainedLogBytes { get; init; } = 128 * 1024;

    public required int Keys { get; init; }

    public required int Clients { get; init; }

    /// <summary>How many of the clients only read: they stay with a leader that others have left.</summary>
    public int Readers { get; init; }

    /// <summary>Clients that keep a session and move from node to node, on keys of their own.</summary>
    public int Sessions { get; init; }

    public required int OperationsPerClient { get; init; }

    public required int MaxValueBytes { get; init; }

    /// <summary>How long clients think between two operations, at most.</summary>
    public required int MaxThinkUs { get; init; }

    /// <summary>How long clients work and faults strike, at most.</summary>
    public long WorkUs { get; init; } = 30_000_000;

    /// <summary>Mean time between two faults. Zero: none.</summary>
    public required int FaultEveryMs { get; init; }

    /// <summary>Whether a replica may lose its disk and come back empty.</summary>
    public bool MayWipe { get; init; }

    /// <summary>Whether a replica may come back with an old copy of its disk.</summary>
    public bool MayRestoreBackup { get; init; }

    /// <summary>Whether there are clients of counters and of keys that expire as well.</summary>
    public bool CountsAndExpires { get; init; }

    /// <summary>Whether clients of transactions work beside the others: where a log orders the data all the time.</summary>
    public bool Transacts { get; init; }

    /// <summary>An open shard: whether what stands on a disk may be damaged, so that the node stays down until somebody repairs it.</summary>
    public bool MayDamage { get; init; }

    /// <summary>Whether replicas may be away for long: processes that stay down, in an open shard.</summary>
    public bool MayStayAway { get; init; }

    /// <summary>One replica's disk may be lost for good, in one way or another: only what two replicas held can be relied on.</summary>
    public bool MayLoseDisk => MayWipe || Spares > 0 || ReplacesDisk;

    /// <summary>No spares, but one replica that loses its disk and comes back empty, under a new id that takes the old one's place among the members.</summary>
    public bool ReplacesDisk { get; init; }

    /// <summary>The bounds that are at their smallest.</summary>
    public IReadOnlyList<RareBranch> Tight { get; init; } = [];

    /// <summary>How far acknowledgements may run ahead of the commit.</summary>
    public MaxLag MaxLag { get; init; } = MaxLag.Default;

    /// <summary>An open shard: what is shown of concurrent values.</summary>
    public ConflictRule Conflicts { get; init; } = ConflictRule.Siblings;

    /// <summary>An open shard: not zero, if its data is in memory only.</summary>
    public long MemoryBytes { get; init; }

    /// <summary>Adaptive: after how long without a leader a replica serves provisionally.</summary>
    /// <summary>The operator chooses among all three policies.</summary>
    public bool SwitchesToAdaptive { get; init; }

    public ProvisionalAfter ProvisionalAfter { get; init; } = ProvisionalAfter.Default;

    public bool IsAdaptive => Mode.Partition == PartitionChoice.Adaptive;

    /// <summary>Whether the mode changes: <see cref="Mode"/> is the founding one.</summary>
    public bool Switches { get; init; }

    public bool IsOpen => Mode.Partition == PartitionChoice.Ap;

    public static ScenarioSettings Draw(ScenarioKind kind, Random random)
    {
        ScenarioSettings drawn = kind switch
        {
            ScenarioKind.Consensus => OrderedSettings.Draw(random),
            ScenarioKind.Adaptive => AdaptivePlay.Adapt(OrderedSettings.Draw(random), random),
            ScenarioKind.Members => MembersPlay.Adapt(OrderedSettings.Draw(random), random),
            ScenarioKind.Open => OpenSettings.Widen(DrawOpen(kind, random), random),
            ScenarioKind.Dial => DialPlay.Adapt(OrderedSettings.Draw(random), random),
            ScenarioKind.DialAdaptive => DialPlay.WithAdaptive(DialPlay.Adapt(OrderedSettings.Draw(random), random), random),
            ScenarioKind.Lww => LwwPlay.Adapt(DrawOpen(kind, random), random),
            ScenarioKind.Memory => MemoryPlay.Adapt(DrawOpen(kind, random), random),
            _ => DrawOpen(kind, random),
        };

        // What only a lost disk, or a memory, held is lost: neither sessions nor counters can be held to it.
        int sessions = random.Next(3) == 0 ? random.Next(1, 4) : 0;
        drawn = drawn with { ReplacesDisk = drawn.Switches && random.Next(3) == 0 };
        return drawn.MayLoseDisk || drawn.MemoryBytes > 0 ? drawn with { CountsAndExpires = false } : drawn with { Sessions = sessions };
    }

    public override string ToString() =>
        $"{Mode}, {Nodes} nodes{(Spares > 0 ? $" ({Spares} spare)" : "")}, {Clients} clients x {OperationsPerClient} operations on {Keys} keys, {(Sessions > 0 ? $"{Sessions} sessions, " : "")}values up to {MaxValueBytes} bytes, think up to {MaxThinkUs / 1_000} ms, "
        + $"table {TableBytes} bytes, a fault every {FaultEveryMs} ms{(MayWipe || ReplacesDisk ? ", a disk may be lost" : "")}{(MayStayAway ? $", long absences, {Replica.Dotted.MaxIndexedDots} dots indexed" : "")}{(CountsAndExpires ? ", counters and expiries" : "")}{(Transacts ? ", transactions" : "")}{(Conflicts == ConflictRule.LastWriterWins ? $", the last writer wins, swept after {Replica.SweepGraceMs} ms" : "")}{(MemoryBytes > 0 ? $", in {MemoryBytes} bytes of memory" : "")}{(Tight.Count > 0 ? ", tight: " + string.Join(" ", Tight) : "")}";

    private static ScenarioSettings DrawOpen(ScenarioKind kind, Random random)
    {
        int dice = random.Next(10);
        Replication replication = dice switch { < 6 => Replication.Sync, < 8 => Replication.Async, _ => Replication.BestEffort };
        bool tight = random.Next(2) == 0;
        int keys = random.Next(2, MostKeys + 1);
        int maxValueBytes = random.Next(4) == 0 ? 4_000 : 200;
        int tableBytes = random.Next(0, 4_000);
        bool hurried = random.Next(2) == 0;
        int quiesceAfter = random.Next(3) switch { 0 => 0, 1 => 4, _ => 40 };
        return new ScenarioSettings
        {
            Mode = new KeyspaceMode(PartitionChoice.Ap, replication),
            Nodes = 3,
            TableBytes = tight ? tableBytes : 1 << 20,
            PreloadBytes = random.Next(2) == 0 ? 0 : 1 << 20,
            Keys = keys,
            Clients = random.Next(3, 8),
            OperationsPerClient = random.Next(20, 80),
            MaxValueBytes = maxValueBytes,
            MaxThinkUs = hurried ? 20_000 : 300_000,
            FaultEveryMs = random.Next(10) switch { 0 => 0, < 5 => 400, _ => 1_200 },
            MayWipe = kind == ScenarioKind.Wipe,
            MayRestoreBackup = kind == ScenarioKind.Wipe,
            Replica = new ReplicaOptions
            {
                Raft = new RaftOptions
                {
                    HeartbeatTicks = 2,
                    QuiesceAfterTicks = quiesceAfter,
                    QuietRenewTicks = quiesceAfter == 4 ? 10 : 80,
                    QuietLimitTicks = quiesceAfter == 4 ? 31 : 240,
                },
                SealTicks = random.Next(1, 21),
                SealBytes = random.Next(2) == 0 ? 1_000 : 512 * 1024,
                SnapshotPageBytes = random.Next(2) == 0 ? 300 : 512 * 1024,
                SnapshotPageTicks = random.Next(2) == 0 ? 20 : 200,
                ScanPageBytes = random.Next(2) == 0 ? 300 : 1_048_576,
                PullTicks = random.Next(2) == 0 ? 8 : 80,
            },
        };
    }
}
