using KvStore.Core.Consensus;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Scenarios;

/// <summary>Draws a cluster, a load and bounds for one ordered shard. Each bound is at its smallest in a share of the seeds.</summary>
internal static class OrderedSettings
{
    private const double TightShare = 0.15;

    // Snapshots are made of it.
    private const double CompactionShare = 0.4;

    public static ScenarioSettings Draw(Random random)
    {
        int dice = random.Next(20);
        int nodes = dice switch { < 8 => 3, < 15 => 5, 15 => 1, 16 => 2, 17 or 18 => 4, _ => 7 };
        Replication replication = random.Next(10) switch { < 7 => Replication.Sync, < 9 => Replication.Async, _ => Replication.BestEffort };
        bool isLong = random.Next(8) == 0;
        HashSet<RareBranch> tight = [];
        for (RareBranch bound = 0; bound <= RareBranch.TinyRetainedLog; bound++)
        {
            if (random.NextDouble() < (bound == RareBranch.ForcedCompaction ? CompactionShare : TightShare))
            {
                tight.Add(bound);
            }
        }

        return new ScenarioSettings
        {
            Mode = new KeyspaceMode(PartitionChoice.Cp, replication),
            Nodes = nodes,
            TableBytes = tight.Contains(RareBranch.TinyTables) ? 0 : random.Next(2) == 0 ? 4_000 : 1 << 20,
            PreloadBytes = tight.Contains(RareBranch.NoPreload) ? 0 : 1 << 20,
            RetainedLogBytes = tight.Contains(RareBranch.TinyRetainedLog) ? 64 * 1024 : 256 * 1024,
            Keys = random.Next(2, 7),
            Clients = random.Next(3, 8),
            OperationsPerClient = random.Next(20, 120),
            MaxValueBytes = random.Next(4) == 0 ? 4_000 : 200,
            MaxThinkUs = isLong ? 4_000_000 : random.Next(3) switch { 0 => 20_000, 1 => 300_000, _ => 1_000_000 },
            WorkUs = isLong ? 150_000_000 : 30_000_000,
            FaultEveryMs = random.Next(10) switch { 0 => 0, < 4 when !isLong => 400, < 8 => 1_200, _ => 4_000 },
            MaxLag = random.Next(3) switch { 0 => new MaxLag(600, 200), 1 => new MaxLag(20_000, 60_000), _ => MaxLag.Default },
            Tight = [.. tight],
            Replica = DrawReplica(tight, random),
        };
    }

    private static ReplicaOptions DrawReplica(HashSet<RareBranch> tight, Random random)
    {
        bool compacts = tight.Contains(RareBranch.ForcedCompaction);
        bool isImpatient = tight.Contains(RareBranch.ImpatientSnapshots);
        int keep = compacts ? random.Next(1, 5) : random.Next(2) == 0 ? 32 : 8_192;
        return new ReplicaOptions
        {
            Raft = DrawRaft(tight, random, isImpatient),
            KeepEntries = keep,
            CompactStep = keep == 8_192 ? 4_096 : random.Next(1, 9),
            MaxPending = tight.Contains(RareBranch.TinyPendingBound) ? 2 : 16_384,
            SealTicks = tight.Contains(RareBranch.SealEveryTick) ? 1 : random.Next(2, 21),
            SealBytes = tight.Contains(RareBranch.SealTinyUnits) ? 1 : 512 * 1024,
            SnapshotPageBytes = tight.Contains(RareBranch.TinySnapshotPages) ? 1 : random.Next(2) == 0 ? 600 : 512 * 1024,
            SnapshotPageTicks = isImpatient ? 2 : 40,
            ScanPageBytes = tight.Contains(RareBranch.TinyScanPages) ? 1 : 1_048_576,
        };
    }

    private static RaftOptions DrawRaft(HashSet<RareBranch> tight, Random random, bool isImpatient)
    {
        int election = random.Next(3) switch { 0 => 6, 1 => 10, _ => 20 };
        int quiesceAfter = random.Next(3) switch { 0 => 0, 1 => 4, _ => 40 };
        return new RaftOptions
        {
            HeartbeatTicks = random.Next(1, 3),
            ElectionTicksMin = election,
            ElectionTicksMax = tight.Contains(RareBranch.EqualElectionTimeouts) ? election + 1 : 2 * election,
            TellCommitWithHeartbeats = tight.Contains(RareBranch.CommitToldWithHeartbeats),
            MaxInflightMessages = tight.Contains(RareBranch.InflightWindowOfOne) ? 1 : random.Next(2) == 0 ? 4 : 128,
            MaxInflightBytes = tight.Contains(RareBranch.InflightBytesOfOneEntry) ? 1 : 8 * 1024 * 1024,
            MaxAppendBytes = tight.Contains(RareBranch.AppendsOfOneEntry) ? 1 : random.Next(2) == 0 ? 600 : 256 * 1024,
            MaxUncommittedBytes = tight.Contains(RareBranch.TinyUncommittedBound) ? 1 : 32 * 1024 * 1024,
            MaxCommittedBytesPerReady = tight.Contains(RareBranch.ApplyOneEntryAtATime) ? 1 : random.Next(2) == 0 ? 400 : 1024 * 1024,
            MaxPendingReads = tight.Contains(RareBranch.TinyReadQueue) ? 1 : 65_536,
            MaxReadRounds = tight.Contains(RareBranch.OneReadRound) ? 1 : 4,
            SnapshotAnswerTicks = isImpatient ? 2 : 40,
            QuiesceAfterTicks = quiesceAfter,
            QuietRenewTicks = quiesceAfter == 4 ? 10 : 80,
            QuietLimitTicks = quiesceAfter == 4 ? 31 : 240,
        };
    }
}
