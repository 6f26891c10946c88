using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Network;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>Snapshots hold the user's keys and nothing else.</summary>
internal sealed class SnapshotWithoutDedup : PlantedBug
{
    public override string Name => "snapshot-without-dedup";

    public override string StandsFor => "A snapshot without the remembered requests: a retry at a replica that came back by snapshot takes effect twice (C6, scenario 41).";

    public override string ExpectedBy => "EqualDedupTables, EqualStates, OneEffectPerRequest";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManySnapshots(drawn);

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Filter(transport);

    private sealed class Filter(IPeerTransport inner) : TransportDecorator(inner)
    {
        public override void Send(ShardId shard, NodeId to, in SnapshotPage page) =>
            base.Send(shard, to, page with { Records = [.. page.Records.Where(record => record.Space != RecordSpace.Meta)] });
    }
}

/// <summary>The last page of a snapshot arrives without its records.</summary>
internal sealed class SnapshotPageDropped : PlantedBug
{
    public override string Name => "snapshot-page-dropped";

    public override string StandsFor => "A snapshot of which the last page is lost and the end is reported all the same.";

    public override string ExpectedBy => "EqualStates, EqualViews, EqualDedupTables";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManySnapshots(drawn);

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Dropper(transport);

    private sealed class Dropper(IPeerTransport inner) : TransportDecorator(inner)
    {
        public override void Send(ShardId shard, NodeId to, in SnapshotPage page) =>
            base.Send(shard, to, page.Last && page.Number > 0 ? page with { Records = [] } : page);
    }
}

/// <summary>A snapshot says that it stands further than it does.</summary>
internal sealed class SnapshotPositionAhead : PlantedBug
{
    public override string Name => "snapshot-position-ahead";

    public override string StandsFor => "A snapshot labelled with the leader's applied index at the time of sending instead of the one it was taken at.";

    public override string ExpectedBy => "EqualStates, EqualViews";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManySnapshots(drawn);

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Labeller(node, transport);

    private sealed class Labeller(SimulatedNode node, IPeerTransport inner) : TransportDecorator(inner)
    {
        private SnapshotPage _first;

        public override void Send(ShardId shard, NodeId to, in SnapshotPage page)
        {
            // The receiver goes by the first page. It is sent again with the label of the second, if that has moved on.
            if (page.Number == 0 && !page.Last)
            {
                _first = page with { Position = node.Replica!.Position };
                base.Send(shard, to, _first);
                return;
            }

            base.Send(shard, to, page with { Position = node.Replica!.Position });
        }
    }
}
