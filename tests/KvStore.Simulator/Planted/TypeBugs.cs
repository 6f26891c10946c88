using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>An expiry removes whatever stands under the key by then.</summary>
internal sealed class RefreshExpired : PlantedBug
{
    public override string Name => "refresh-expired";

    public override string StandsFor => "A timer for each write that deletes by key when it fires: it takes a refresh away with it (C22).";

    public override string ExpectedBy => "NothingExpiresEarly, EqualStates, EqualViews";

    public override bool WantsCounters => true;

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn);

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Timers(this, node, storage);

    private sealed class Timers(RefreshExpired bug, SimulatedNode node, IReplicaStorage inner) : StorageDecorator(inner)
    {
        private readonly HashSet<string> _running = [];

        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            Inner.Put(space, key, record);
            if (space != RecordSpace.Data || !OrderedRecord.IsOrdered(record.Span) || OrderedRecord.Decode(record) is not { ExpiresMs: > 0 } expiring)
            {
                return;
            }

            string text = Encoding.UTF8.GetString(key);
            ulong ttlMs = expiring.ExpiresMs - (ulong)expiring.Timestamp.PhysicalMs;
            int incarnation = node.Incarnation;
            if (_running.Add(text))
            {
                bug.Timeline.After((long)ttlMs * 1_000, () => node.Post("timer", _ =>
                {
                    if (node.Incarnation == incarnation && _running.Remove(text))
                    {
                        Inner.Remove(RecordSpace.Data, Encoding.UTF8.GetBytes(text));
                    }
                }));
            }
        }
    }
}

/// <summary>A retried increment is counted again by an open shard.</summary>
internal sealed class IncrementCountedAgain : PlantedBug
{
    private ulong _last = 1UL << 63;

    public override string Name => "increment-counted-again";

    public override string StandsFor => "A counter whose retries are new increments: every lost answer counts twice (scenario 56; Riak's and Cassandra's counters).";

    public override string ExpectedBy => "ExactCounters";

    public override ScenarioKind Kind => ScenarioKind.Ap;

    public override bool WantsCounters => true;

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn);

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Kind == OperationKind.Increment)
        {
            operation.Request = new RequestId(++_last, 1, 0);
            operation.MayHaveHappened = false;
        }
    }
}

/// <summary>The dedup table forgets what an increment came to.</summary>
internal sealed class IncrementResultForgotten : PlantedBug
{
    private readonly HashSet<(ulong Session, ulong Sequence)> _seen = [];
    private readonly HashSet<ulong> _repeated = [];

    public override string Name => "increment-result-forgotten";

    public override string StandsFor => "A remembered request without its result: a retried increment is answered with nothing, or with what the counter is by now.";

    public override string ExpectedBy => "ExactCounters";

    public override bool WantsCounters => true;

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Kind == OperationKind.Increment && !_seen.Add((operation.Request.Session, operation.Request.Sequence)))
        {
            _repeated.Add(operation.Handle);
        }
    }

    public override void Answer(SimulatedNode node, List<Completion> completions)
    {
        for (int i = 0; i < completions.Count; i++)
        {
            if (_repeated.Contains(completions[i].Handle))
            {
                completions[i] = completions[i] with { Counter = 0 };
            }
        }
    }
}

/// <summary>A time to live is cut short.</summary>
internal sealed class TtlCutShort : PlantedBug
{
    public override string Name => "ttl-cut-short";

    public override string StandsFor => "A time to live that is counted from another moment, or in another unit, than the client meant: values vanish early.";

    public override string ExpectedBy => "NothingExpiresEarly";

    public override bool WantsCounters => true;

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn);

    public override void Submit(SimulatedNode node, ref ClientOperation operation) => operation.TtlMs /= 2;
}

/// <summary>A time to live gets lost, in a shard that keeps next to nothing in memory.</summary>
internal sealed class TtlForgotten : PlantedBug
{
    public override string Name => "ttl-forgotten";

    public override string StandsFor => "A time to live that is dropped on the way to the record: the value never goes. Only a look at the disk tells, where records are not kept in memory.";

    public override string ExpectedBy => "Progress";

    public override bool WantsCounters => true;

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn) with { TableBytes = 0, PreloadBytes = 0 };

    public override void Submit(SimulatedNode node, ref ClientOperation operation) => operation.TtlMs = 0;
}
