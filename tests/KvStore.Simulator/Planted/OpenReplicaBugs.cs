using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>A replica mints under the same name after each start.</summary>
internal sealed class ActorReused : OpenBug
{
    public override string Name => "actor-reused";

    public override string StandsFor => "A replica that keeps its name when it may have lost the end of its log, or all of it: one dot names two writes (C7, riak_kv#679).";

    public override string ExpectedBy => "Invariants, EqualOpenViews, AcknowledgedOpenWrites";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => MuchHealing(drawn);

    public override Random Chance(SimulatedNode node, Random drawn) => new((int)node.ReplicaId.Value);
}

/// <summary>The view does not keep which dots were written to which keys.</summary>
internal sealed class DotKeysLost : OpenBug
{
    public override string Name => "dot-keys-lost";

    public override string StandsFor => "An index of what peers lack that is kept in memory only: after a restart the replica does not know what it has.";

    public override string ExpectedBy => "Invariants, EqualOpenViews, AcknowledgedOpenWrites, or a record that contradicts itself";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => MuchHealing(drawn);

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Forgetful(storage);

    private sealed class Forgetful(IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space != RecordSpace.DotKeys)
            {
                Inner.Put(space, key, record);
            }
        }
    }
}

/// <summary>A delete leaves no record even where the clock doesn't say yet what is gone.</summary>
internal sealed class DeleteWithoutTrace : OpenBug
{
    public override string Name => "delete-without-trace";

    public override string StandsFor => "Tombstones that are collected too early: a write that was on its way brings back what was deleted.";

    public override string ExpectedBy => "EqualOpenViews, AcknowledgedOpenWrites, or a record that contradicts itself";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => MuchHealing(drawn) with { Keys = 2 };

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Remover(storage);

    private sealed class Remover(IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space == RecordSpace.Data && DottedObject.Decode(record).IsEmpty)
            {
                Inner.Remove(space, key);
            }
            else
            {
                Inner.Put(space, key, record);
            }
        }
    }
}

/// <summary>A view loses a record now and then.</summary>
internal sealed class OpenPutLost : OpenBug
{
    private const int Rarity = 40;

    public override string Name => "open-put-lost";

    public override string StandsFor => "A dot that is counted and whose object was not stored: equal clocks, unequal data.";

    public override string ExpectedBy => "TrueDigests, EqualOpenViews, QuorumReads";

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Loser(this, storage);

    private sealed class Loser(OpenPutLost bug, IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space != RecordSpace.Data || !bug.OneIn(Rarity))
            {
                Inner.Put(space, key, record);
            }
        }
    }
}

/// <summary>A write in context is taken for a blind one.</summary>
internal sealed class ContextTakenForBlind : OpenBug
{
    public override string Name => "context-taken-for-blind";

    public override string StandsFor => "A put that removes more than its context saw: a concurrent write is lost (scenario 51).";

    public override string ExpectedBy => "AcknowledgedOpenWrites, QuorumReads";

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Condition == WriteCondition.InContext)
        {
            operation.Condition = WriteCondition.None;
            operation.Version = default;
        }
    }
}

/// <summary>A write in context supersedes nothing.</summary>
internal sealed class ContextForgotten : OpenBug
{
    public override string Name => "context-forgotten";

    public override string StandsFor => "Contexts that are lost on the way: every write becomes a sibling (riak_kv#746, scenario 54).";

    public override string ExpectedBy => "AcknowledgedOpenWrites, QuorumReads";

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Condition == WriteCondition.InContext)
        {
            operation.Version = default;
        }
    }
}
