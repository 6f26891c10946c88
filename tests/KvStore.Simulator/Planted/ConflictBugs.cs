using System.Buffers;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>A replica drops the values that lost without a dot for it.</summary>
internal sealed class LosersUndotted : PlantedBug
{
    private const int Rarity = 3;

    public override string Name => "losers-undotted";

    public override string StandsFor => "Last-writer-wins as a drop of its own at each replica: a delete that saw only the winner then leaves equal clocks over unequal data (C11).";

    public override string ExpectedBy => "EqualOpenViews, Convergence, TrueDigests";

    public override ScenarioKind Kind => ScenarioKind.Lww;

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Dropper(this, storage);

    private sealed class Dropper(LosersUndotted bug, IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space == RecordSpace.Data && DottedObject.PeekSiblings(record) > 1 && bug.OneIn(Rarity))
            {
                var winner = new ArrayBufferWriter<byte>();
                DottedObject.Decode(record).KeepWinner().Encode(winner);
                Inner.Put(space, key, winner.WrittenMemory);
                return;
            }

            Inner.Put(space, key, record);
        }
    }
}

/// <summary>A replica throws records out where absence means "seen, and gone".</summary>
internal sealed class EvictionAsDelete : PlantedBug
{
    private const int Rarity = 20;

    public override string Name => "eviction-as-delete";

    public override string StandsFor => "A cache that evicts from a store in which absence under a clock means deleted: the eviction spreads as a delete.";

    public override string ExpectedBy => "EqualOpenViews, Convergence, TrueDigests, AcknowledgedOpenWrites, QuorumReads";

    public override ScenarioKind Kind => ScenarioKind.Ap;

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Evictor(this, storage);

    private sealed class Evictor(EvictionAsDelete bug, IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space == RecordSpace.Data && bug.OneIn(Rarity))
            {
                Inner.Remove(space, key);
                return;
            }

            Inner.Put(space, key, record);
        }
    }
}
