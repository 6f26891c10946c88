using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Planted;

/// <summary>The disk says "durable" as soon as it was asked to write.</summary>
internal sealed class DurableTooEarly : PlantedBug
{
    public override string Name => "durable-too-early";

    public override string StandsFor => "A write cache that lies, or an fsync that is left out: what was acknowledged is gone after a power loss (scenarios 22 to 24).";

    public override string ExpectedBy => "AcknowledgedWritesStay, CommittedEntriesStay";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn);

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Liar(node, storage);

    private sealed class Liar(SimulatedNode node, IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
        {
            LogPosition position = Inner.Append(kind, term, index, payload, urgency);
            node.Post("durable", replica =>
            {
                if (replica.WaitsForDurable)
                {
                    replica.OnDurable(position);
                }
            });
            return position;
        }
    }
}

/// <summary>A follower answers an append at once.</summary>
internal sealed class AppendAnsweredEarly : PlantedBug
{
    public override string Name => "append-answered-early";

    public override string StandsFor => "Followers that acknowledge entries from memory: the leader counts copies that a power loss takes away (single voters: etcd#14370).";

    public override string ExpectedBy => "CommittedEntriesStay, AcknowledgedWritesStay, Progress";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn);

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Hasty(node, storage);

    private sealed class Hasty(SimulatedNode node, IReplicaStorage inner) : StorageDecorator(inner)
    {
        private LogPosition _waitsFor;

        public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
        {
            LogPosition position = Inner.Append(kind, term, index, payload, urgency);
            if (kind != LogRecordKind.Entry || Leads(node))
            {
                _waitsFor = position;
            }

            return _waitsFor;
        }
    }
}

/// <summary>A vote is appended, and its answer does not wait for the sync.</summary>
internal sealed class VoteBeforeDurable : PlantedBug
{
    public override string Name => "vote-before-durable";

    public override string StandsFor => "A vote that is not persisted before the answer leaves: the voter loses its power and votes again in the same term (C9).";

    public override string ExpectedBy => "OneLeaderPerTerm, LogsAgree";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyElections(drawn);

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Hasty(storage);

    private sealed class Hasty(IReplicaStorage inner) : StorageDecorator(inner)
    {
        private LogPosition _waitsFor;

        public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
        {
            LogPosition position = Inner.Append(kind, term, index, payload, urgency);
            if (kind != LogRecordKind.HardState)
            {
                _waitsFor = position;
            }

            return _waitsFor;
        }
    }
}

/// <summary>Term and vote are written some time after the answer.</summary>
internal sealed class HardStateLate : PlantedBug
{
    private const int LateUs = 200_000;

    public override string Name => "hard-state-late";

    public override string StandsFor => "Term and vote kept in a file of their own that is written behind: any crash in between forgets them, power or not.";

    public override string ExpectedBy => "OneLeaderPerTerm, LogsAgree";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => ManyElections(drawn);

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Writer(this, node, storage);

    private sealed class Writer(HardStateLate bug, SimulatedNode node, IReplicaStorage inner) : StorageDecorator(inner)
    {
        private LogPosition _waitsFor;

        public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
        {
            if (kind != LogRecordKind.HardState)
            {
                return _waitsFor = Inner.Append(kind, term, index, payload, urgency);
            }

            int incarnation = node.Incarnation;
            byte[] copy = payload.ToArray();
            bug.Timeline.After(LateUs, () =>
            {
                if (node.IsUp && node.Incarnation == incarnation)
                {
                    node.Post("hard state", _ => Inner.Append(kind, term, index, copy, SyncUrgency.Now));
                }
            });
            return _waitsFor;
        }
    }
}

/// <summary>The log holds another write's payload than the one in memory.</summary>
internal sealed class PayloadSwapped : PlantedBug
{
    private const int Rarity = 20;

    public override string Name => "payload-swapped";

    public override string StandsFor => "A buffer that is used again before it was written: the log holds another key's payload under a checksum that fits.";

    public override string ExpectedBy => "LogsAgree";

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Mixer(this, storage);

    private sealed class Mixer(PayloadSwapped bug, IReplicaStorage inner) : StorageDecorator(inner)
    {
        private byte[] _before = [];

        public override LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
        {
            if (kind != LogRecordKind.Entry || payload.Length == 0)
            {
                return Inner.Append(kind, term, index, payload, urgency);
            }

            bool swap = _before.Length > 0 && bug.OneIn(Rarity);
            LogPosition position = Inner.Append(kind, term, index, swap ? _before : payload, urgency);
            _before = payload.ToArray();
            return position;
        }
    }
}

/// <summary>The journal of lost writes stays in memory.</summary>
internal sealed class LostWritesUnsaved : PlantedBug
{
    public override string Name => "lost-writes-unsaved";

    public override string StandsFor => "A record of what was rolled back that is written behind the rollback, if at all: a restart in between, and nobody ever hears of what was acknowledged and lost.";

    public override string ExpectedBy => "LostWritesAreJournaled";

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => drawn with { Mode = drawn.Mode with { Replication = Replication.Async } };

    public override RecoveredReplica Recover(SimulatedNode node, RecoveredReplica recovered) =>
        recovered with { Records = [.. recovered.Records.Where(record => record.Kind != LogRecordKind.LostWrite)] };

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Forgetful(storage);

    private sealed class Forgetful(IReplicaStorage inner) : StorageDecorator(inner)
    {
        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space != RecordSpace.Journal)
            {
                Inner.Put(space, key, record);
            }
        }

        public override void Install(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlySpan<byte> record)
        {
            if (space != RecordSpace.Journal)
            {
                Inner.Install(space, key, record);
            }
        }
    }
}
