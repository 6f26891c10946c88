using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>A leader answers reads from its own state.</summary>
internal sealed class LeaderReadsLocally : PlantedBug
{
    public override string Name => "leader-reads-locally";

    public override string StandsFor => "Reads served by whoever thinks that it leads: a deposed leader shows old values (scenario 2; applying too late: tidb#43583).";

    public override string ExpectedBy => "FreshReads, Linearizability";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn);

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Kind == OperationKind.Get && Leads(node))
        {
            operation.Level = ReadLevel.Eventual;
        }
    }
}

/// <summary>A new leader answers reads at once.</summary>
internal sealed class ReadBeforeFirstCommit : PlantedBug
{
    private readonly Dictionary<NodeId, LogIndex> _first = [];

    public override string Name => "read-before-first-commit";

    public override string StandsFor => "A read index taken before the first commit of the leader's own term: it does not know yet what its predecessors had committed (etcd#12680, scenario 20).";

    public override string ExpectedBy => "FreshReads, Linearizability";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn);

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Witness(this, node, storage);

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Kind == OperationKind.Get && Leads(node) && node.Replica!.Describe().Commit < _first.GetValueOrDefault(node.Id))
        {
            operation.Level = ReadLevel.Eventual;
        }
    }

    private sealed class Witness(ReadBeforeFirstCommit bug, SimulatedNode node, IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
        {
            // A leader begins its term with an empty entry.
            if (kind == LogRecordKind.Entry && payload.Length == 0 && Leads(node))
            {
                bug._first[node.Id] = index;
            }

            return Inner.Append(kind, term, index, payload, urgency);
        }
    }
}
