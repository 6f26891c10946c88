using System.Buffers.Binary;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>After a crash the position is newer than the data.</summary>
internal sealed class PositionWithoutData : PlantedBug
{
    private readonly Dictionary<NodeId, ViewPosition> _applied = [];

    public override string Name => "position-without-data";

    public override string StandsFor => "The applied index stored apart from the data, and ahead of it: after a crash entries are never applied (etcd#13766).";

    public override string ExpectedBy => "EqualStates, EqualViews";

    public override void Answer(SimulatedNode node, List<Completion> completions) => _applied[node.Id] = node.Replica!.Position;

    public override RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered)
    {
        bool isAhead = _applied.TryGetValue(node.Id, out ViewPosition applied) && applied.Applied > recovered.Position.Applied;
        bool inLog = recovered.Records.Any(record => record.Kind == LogRecordKind.Entry && record.Index == applied.Applied && record.Term == applied.AppliedTerm);
        return isAhead && inLog ? recovered with { Position = applied } : recovered;
    }
}

/// <summary>After a restart the position is older than the data.</summary>
internal sealed class DataWithoutPosition : PlantedBug
{
    private const int Behind = 3;

    public override string Name => "data-without-position";

    public override string StandsFor => "The applied index stored apart from the data, and behind it: after a crash entries are applied to data that holds them already (etcd#13766).";

    public override string ExpectedBy => "EqualStates, VersionsOnlyGrow";

    public override RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered)
    {
        ulong applied = recovered.Position.Applied.Value;
        int at = applied <= Behind ? -1 : recovered.Records.ToList().FindLastIndex(record => record.Kind == LogRecordKind.Entry && record.Index.Value == applied - Behind);
        return at < 0
            ? recovered
            : recovered with { Position = recovered.Position with { Applied = recovered.Records[at].Index, AppliedTerm = recovered.Records[at].Term } };
    }
}

/// <summary>The dedup table is never written to the view.</summary>
internal sealed class DedupNotDurable : PlantedBug
{
    public override string Name => "dedup-not-durable";

    public override string StandsFor => "Remembered requests kept in memory only: a retry after a restart takes effect a second time (C6, scenario 41).";

    public override string ExpectedBy => "OneEffectPerRequest, EqualStates, Linearizability";

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Forgetful(storage);

    private sealed class Forgetful(IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space != RecordSpace.Meta)
            {
                Inner.Put(space, key, record);
            }
        }
    }
}

/// <summary>The dedup table is written with a floor that covers requests which are not finished.</summary>
internal sealed class DedupFloorMoved : PlantedBug
{
    private const int HeaderBytes = 16;
    private const int ResultBytes = 21;

    public override string Name => "dedup-floor-moved";

    public override string StandsFor => "A dedup window that is cut at its newest request when it is stored: a retry after a restart is called too old (scenarios 41 and 42).";

    public override string ExpectedBy => "SensibleAnswers, EqualDedupTables";

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Cutter(storage);

    private sealed class Cutter(IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space == RecordSpace.Meta && record.Length >= HeaderBytes + ResultBytes)
            {
                // The results stand behind the floor and a timestamp, oldest first, each with its sequence number in front.
                byte[] cut = record.Span[..HeaderBytes].ToArray();
                BinaryPrimitives.WriteUInt64LittleEndian(cut, BinaryPrimitives.ReadUInt64LittleEndian(record.Span[^ResultBytes..]));
                Inner.Put(space, key, cut);
                return;
            }

            Inner.Put(space, key, record);
        }
    }
}

/// <summary>A follower's view loses a record now and then.</summary>
internal sealed class PutLost : PlantedBug
{
    private const int Rarity = 30;

    public override string Name => "put-lost";

    public override string StandsFor => "A follower that calls an entry applied and has left out its effect.";

    public override string ExpectedBy => "EqualStates, EqualViews";

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Loser(this, node, storage);

    private sealed class Loser(PutLost bug, SimulatedNode node, IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space != RecordSpace.Data || Leads(node) || !bug.OneIn(Rarity))
            {
                Inner.Put(space, key, record);
            }
        }
    }
}

/// <summary>Pages of a snapshot come from the view as it is when each is read.</summary>
internal sealed class SnapshotUnpinned : PlantedBug
{
    public override string Name => "snapshot-unpinned";

    public override string StandsFor => "A snapshot that is read while it changes: its pages stand at different positions.";

    public override string ExpectedBy => "EqualStates, EqualViews, EqualDedupTables";

    /// <summary>Much is written while each page is on its way.</summary>
    public override ScenarioSettings Adjust(ScenarioSettings drawn)
    {
        ScenarioSettings busy = ManySnapshots(drawn) with { Keys = 6, Clients = 7, OperationsPerClient = 300, MaxThinkUs = 20_000, FaultEveryMs = 400 };
        return busy with { Replica = busy.Replica with { SealTicks = 1, SnapshotPageBytes = 1 } };
    }

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Reader(storage);

    private sealed class Reader(IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void BeginScan(in ScanRequest request) => Inner.BeginScan(request with { PinnedView = 0 });
    }
}
