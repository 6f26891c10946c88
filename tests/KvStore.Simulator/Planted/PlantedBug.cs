using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>
/// A bug that a real system had or could have, put in where the replica meets the world: its disk, its peers, its clients, its timer and what it finds when it starts. The product's code is never
/// touched. One object serves one run.
/// </summary>
internal abstract class PlantedBug
{
    /// <summary>The name on the command line.</summary>
    public abstract string Name { get; }

    /// <summary>The real bug it stands for, in a sentence.</summary>
    public abstract string StandsFor { get; }

    /// <summary>The checks that ought to see it.</summary>
    public abstract string ExpectedBy { get; }

    /// <summary>The scenario it is played in.</summary>
    public virtual ScenarioKind Kind => ScenarioKind.Consensus;

    /// <summary>Whether it wants clients of counters and expiring keys. The others do without, and leave their seeds as they were.</summary>
    public virtual bool WantsCounters => false;

    /// <summary>Whether it wants clients of transactions. The others do without.</summary>
    public virtual bool WantsTransactions => false;

    protected SimulatedCluster Cluster { get; private set; } = null!;

    /// <summary>Of its own, so that the bug leaves load and faults as they are.</summary>
    protected Random Random { get; private set; } = null!;

    protected Timeline Timeline => Cluster.Timeline;

    public void Begin(SimulatedCluster cluster, Random random)
    {
        Cluster = cluster;
        Random = random;
    }

    /// <summary>May narrow what the seed has drawn to where the bug matters: snapshots, a replication mode.</summary>
    public virtual ScenarioSettings Adjust(ScenarioSettings drawn) => drawn;

    /// <summary>A process is about to open its disk.</summary>
    public virtual void BeforeStart(SimulatedNode node)
    {
    }

    /// <summary>What storage has found goes to the replica.</summary>
    public virtual RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered) => recovered;

    /// <summary>Where a starting replica gets its random numbers from.</summary>
    public virtual Random Chance(SimulatedNode node, Random drawn) => drawn;

    /// <summary>What stands between a replica and its storage.</summary>
    public virtual IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => storage;

    /// <summary>What stands between a replica and its peers.</summary>
    public virtual IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => transport;

    /// <summary>A message arrives.</summary>
    public virtual void Receive(SimulatedNode node, ref RaftMessage message)
    {
    }

    /// <summary>A client's operation arrives.</summary>
    public virtual void Submit(SimulatedNode node, ref ClientOperation operation)
    {
    }

    /// <summary>A step's answers leave.</summary>
    public virtual void Answer(SimulatedNode node, List<Completion> completions)
    {
    }

    /// <summary>Whether the node's timer works.</summary>
    public virtual bool MayTick(SimulatedNode node) => true;

    protected static bool Leads(SimulatedNode node) => node.Replica?.IsLeader == true;

    protected SimulatedNode NodeOf(ReplicaId replica) => Cluster.Nodes[(int)replica.Value - 1];

    /// <summary>One time in so many.</summary>
    protected bool OneIn(int times) => Random.Next(times) == 0;

    /// <summary>Sync keyspaces promise the most, so most can be broken there.</summary>
    protected static ScenarioSettings Sync(ScenarioSettings drawn) =>
        drawn with { Mode = drawn.Mode with { Replication = Core.Policy.Replication.Sync } };

    /// <summary>Three nodes with short election timeouts that are nearly equal, under many faults and a busy load: leaders change often, and candidates compete.</summary>
    protected static ScenarioSettings ManyElections(ScenarioSettings drawn)
    {
        const int ElectionTicks = 6;
        return Sync(drawn) with
        {
            Nodes = 3,
            FaultEveryMs = 400,
            MaxThinkUs = 20_000,
            OperationsPerClient = 400,
            Replica = drawn.Replica with { Raft = drawn.Replica.Raft with { ElectionTicksMin = ElectionTicks, ElectionTicksMax = ElectionTicks + 1 } },
        };
    }

    /// <summary>Short logs and small pages: whoever was away gets a snapshot of several pages.</summary>
    protected static ScenarioSettings ManySnapshots(ScenarioSettings drawn) =>
        drawn with { Replica = drawn.Replica with { KeepEntries = 4, CompactStep = 1, SnapshotPageBytes = 300 } };
}

/// <summary>The product as it is, under the settings that a bug wants: what fails with the bug and holds so was found because of the bug.</summary>
internal sealed class NoBug(PlantedBug? settings = null) : PlantedBug
{
    public override string Name => "none";

    public override string StandsFor => "nothing";

    public override string ExpectedBy => "nobody";

    public override ScenarioKind Kind => settings?.Kind ?? base.Kind;

    public override bool WantsCounters => settings?.WantsCounters ?? base.WantsCounters;

    public override bool WantsTransactions => settings?.WantsTransactions ?? base.WantsTransactions;

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => settings?.Adjust(drawn) ?? drawn;
}
