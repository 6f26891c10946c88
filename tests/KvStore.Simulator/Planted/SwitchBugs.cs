using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Network;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>A bug of the switch between regimes.</summary>
internal abstract class SwitchBug : PlantedBug
{
    public override ScenarioKind Kind => ScenarioKind.Dial;

    /// <summary>Three nodes under many faults and a busy load.</summary>
    public override ScenarioSettings Adjust(ScenarioSettings drawn) => drawn with { Nodes = 3, FaultEveryMs = 800, MaxThinkUs = 20_000, OperationsPerClient = 200 };
}

/// <summary>The leader takes its offer of a baseline for the answers to it.</summary>
internal sealed class OrderBeforeMajority : SwitchBug
{
    public override string Name => "order-before-majority";

    public override string StandsFor => "The order is given before the baseline is on a majority: when the leader's disk is late or its node dies, nobody can reach what the order promises (C2).";

    public override string ExpectedBy => "BaselineOnMajority";

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Believer(node, transport);

    private sealed class Believer(SimulatedNode node, IPeerTransport inner) : TransportDecorator(inner)
    {
        public override void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload)
        {
            if (kind == DottedMessageKind.ReportWanted)
            {
                // An empty report and an answer to every offer: nobody has anything, and everybody holds everything.
                byte[] report = [.. payload, 0, 0];
                node.Post("believed report", replica => replica.Receive(to, DottedMessageKind.CloseReport, report));
            }
            else if (kind == DottedMessageKind.BaselineOffered)
            {
                var input = new BinaryCursor(payload.ToArray());
                input.ReadVarInt();
                input.ReadVarInt();
                input.ReadVarInt();
                byte[] held = payload[..input.Position].ToArray();
                node.Post("believed answer", replica => replica.Receive(to, DottedMessageKind.BaselineHeld, held));
            }

            base.Send(shard, to, kind, payload);
        }
    }
}

/// <summary>A retry is sent with the epoch of now.</summary>
internal sealed class RetryUnderNewEpoch : SwitchBug
{
    public override string Name => "retry-under-new-epoch";

    public override string StandsFor => "Dedup forgotten across a change of regime: a retry counts as a new request, and overwrites what came since (C6).";

    public override string ExpectedBy => "OneDotPerValue";

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Epoch.Value != 0 && node.Replica is { } replica)
        {
            operation.Epoch = replica.CurrentRegime.Epoch;
        }
    }
}

/// <summary>What has been put into the view counts as durable there.</summary>
internal sealed class ClosingForgotten : SwitchBug
{
    public override string Name => "closing-forgotten";

    public override string StandsFor => "A replica reports that it takes no more writes before it has made sure that it will still know that after a power loss: it comes back open, and what it had promised to hold grows (C2).";

    public override string ExpectedBy => "Progress, AcknowledgedSwitchedWrites, Invariants";

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Optimist(storage);

    private sealed class Optimist(IReplicaStorage inner) : StorageDecorator(inner)
    {
        private ViewPosition _sealed;

        public override ViewPosition DurablePosition => _sealed.Applied > Inner.DurablePosition.Applied ? Inner.DurablePosition with { Applied = _sealed.Applied } : Inner.DurablePosition;

        public override void Seal(in ViewPosition position)
        {
            _sealed = position;
            base.Seal(position);
        }

        public override void ReleaseLog(LogIndex entries, ulong dotted) => base.ReleaseLog(Inner.DurablePosition.Applied, Inner.DurablePosition.Dotted);
    }
}

/// <summary>Snapshots leave out what the regime is.</summary>
internal sealed class RegimeLeftOut : SwitchBug
{
    public override string Name => "regime-left-out";

    public override string StandsFor => "A snapshot that doesn't say in which regime the shard is: who comes back by it serves in the one that it was founded in.";

    public override string ExpectedBy => "RegimesAgree, Progress";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManySnapshots(base.Adjust(drawn));

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Forgetter(ShardRegime.MetaKey.ToArray(), transport);
}

/// <summary>Snapshots leave out which dots the log has accounted for.</summary>
internal sealed class AccountedLeftOut : SwitchBug
{
    public override string Name => "accounted-left-out";

    public override string StandsFor => "A snapshot without the clock of what open periods left in it: a late replica takes for its own what is in there, and the next baseline lacks it.";

    public override string ExpectedBy => "EqualViews, Progress, AcknowledgedSwitchedWrites";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManySnapshots(base.Adjust(drawn));

    public override IPeerTransport Over(SimulatedNode node, IPeerTransport transport) => new Forgetter("accounted"u8.ToArray(), transport);
}

/// <summary>Drops one record of the Meta space from the snapshots that a node sends.</summary>
internal sealed class Forgetter(byte[] key, IPeerTransport inner) : TransportDecorator(inner)
{
    public override void Send(ShardId shard, NodeId to, in SnapshotPage page) =>
        base.Send(shard, to, page with { Records = [.. page.Records.Where(record => record.Space != RecordSpace.Meta || !record.Key.Span.SequenceEqual(key))] });
}

/// <summary>Every start and every open period of a node mints under the same name, from one.</summary>
internal sealed class ActorReusedInNextPeriod : SwitchBug
{
    public override string Name => "actor-reused-in-next-period";

    public override string StandsFor => "A replica that mints under the name of an earlier open period, whose counter it has forgotten: two writes under one dot, and one of them is dropped as known (C7).";

    public override string ExpectedBy => "Invariants, OneDotPerValue, AcknowledgedSwitchedWrites, EqualViews";

    public override Random Chance(SimulatedNode node, Random drawn) => new SameName(drawn, node.Index);

    private sealed class SameName(Random drawn, int index) : Random
    {
        public override int Next(int minValue, int maxValue) => drawn.Next(minValue, maxValue);

        public override int Next(int maxValue) => drawn.Next(maxValue);

        public override int Next() => drawn.Next();

        public override double NextDouble() => drawn.NextDouble();

        public override long NextInt64(long minValue, long maxValue) => minValue + 1_000 + index;
    }
}
