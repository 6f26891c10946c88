using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Transactions;
using KvStore.Core.Versioning;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Planted;

/// <summary>Comparisons are made when a transaction arrives, and only its operations go into the log.</summary>
internal sealed class TransactionComparedEarly : PlantedBug
{
    private readonly Dictionary<(ulong Session, ulong Sequence), ReadOnlyMemory<byte>> _decided = [];

    public override string Name => "transaction-compared-early";

    public override string StandsFor => "Check, then act: comparisons against the state as it is before what is already in the queue; of two transactions that compare the same version both succeed.";

    public override string ExpectedBy => TransactionLedger.Name;

    public override bool WantsTransactions => true;

    public override ScenarioSettings Adjust(ScenarioSettings drawn) => Sync(drawn) with { MaxThinkUs = 5_000 };

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Kind != OperationKind.Transaction || node.View is not { } view || !Leads(node))
        {
            return;
        }

        // Decided once: a retry must not look like another request.
        (ulong, ulong) request = (operation.Request.Session, operation.Request.Sequence);
        if (!_decided.TryGetValue(request, out ReadOnlyMemory<byte> decided))
        {
            Transaction asked = Transaction.Decode(operation.Value);
            decided = asked.Comparisons.All(comparison => Holds(comparison, view)) ? (asked with { Comparisons = [] }).Encode() : operation.Value;
            _decided.Add(request, decided);
        }

        operation.Value = decided;
    }

    private static bool Holds(Comparison comparison, IReplicaStorage view)
    {
        if (view.Find(RecordSpace.Data, comparison.Key.Span, out ReadOnlyMemory<byte> bytes) != RecordLookup.Found)
        {
            return comparison.Kind == ComparisonKind.Absent;
        }

        OrderedRecord record = OrderedRecord.Decode(bytes);
        return comparison.Kind switch
        {
            ComparisonKind.Exists => true,
            ComparisonKind.VersionIs => KvStateMachine.EncodeVersion(record.Index).AsSpan().SequenceEqual(comparison.Operand.Span),
            ComparisonKind.ValueIs => record.Visible.Span.SequenceEqual(comparison.Operand.Span),
            _ => false,
        };
    }
}

/// <summary>One write of a branch is left out, on every replica alike.</summary>
internal sealed class TransactionAppliedPartly : PlantedBug
{
    public override string Name => "transaction-applied-partly";

    public override string StandsFor => "A branch of which only some writes take effect: one that does nothing when a condition of its own does not hold, or a batch that is cut.";

    public override string ExpectedBy => TransactionLedger.Name;

    public override bool WantsTransactions => true;

    public override IReplicaStorage Over(SimulatedNode node, IReplicaStorage storage) => new Cut(storage);

    private sealed class Cut(IReplicaStorage inner) : StorageDecorator(inner)
    {
        private const uint Rarity = 16;

        public override void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            if (space != RecordSpace.Data || !key.StartsWith("{t}b"u8) || (uint)KeyHash.Of(record.Span) % Rarity != 0)
            {
                Inner.Put(space, key, record);
            }
        }
    }
}

/// <summary>Each attempt of a transaction is a request of its own.</summary>
internal sealed class TransactionDoneTwice : PlantedBug
{
    private ulong _last = 1UL << 63;

    public override string Name => "transaction-done-twice";

    public override string StandsFor => "A store that remembers single writes and not transactions: the retry finds its own effect, and is told that the comparisons did not hold (as with etcd, whose transactions have no request id).";

    public override string ExpectedBy => TransactionLedger.Name;

    public override bool WantsTransactions => true;

    public override void Submit(SimulatedNode node, ref ClientOperation operation)
    {
        if (operation.Kind == OperationKind.Transaction)
        {
            operation.Request = new RequestId(++_last, 1, 0);
        }
    }
}
