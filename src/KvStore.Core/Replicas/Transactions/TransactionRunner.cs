using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Transactions;

/// <summary>
/// Applies transactions. First everything is read and decided (<see cref="TryPlan"/>), which changes nothing and may be repeated while records come from the disk; then all writes of the branch are made
/// (<see cref="CarryOut"/>), which can't fail. Nothing is applied between the two, so a transaction sees one state and leaves one.
/// </summary>
internal sealed class TransactionRunner(IReplicaStorage storage, RecordVersions versions, RecordWriter writer)
{
    /// <summary>What was read for the entry that is planned: one that needs many records from the disk must not lose the first while it waits for the last.</summary>
    private readonly Dictionary<Key, ReadOnlyMemory<byte>> _read = [];
    private LogIndex _readFor;

    /// <summary>The key that <see cref="TryPlan"/> has just missed.</summary>
    public Key Missing { get; private set; }

    /// <summary>Decides what the entry's transaction does. False when a record is only on the disk: load <see cref="Missing"/> and plan again.</summary>
    public bool TryPlan(in Entry entry, ReadOnlyMemory<byte> encoded, ulong timestamp, ulong defaultTtlMs, out TransactionPlan? plan)
    {
        plan = null;
        if (_readFor != entry.Index)
        {
            _read.Clear();
            _readFor = entry.Index;
        }

        Transaction transaction = Transaction.Decode(encoded);
        bool held = true;
        foreach (Comparison comparison in transaction.Comparisons)
        {
            if (!TryRead(comparison.Key, out ReadOnlyMemory<byte> record))
            {
                return false;
            }

            held &= Holds(comparison, record);
        }

        var planned = new TransactionPlan(held, held ? transaction.Then : transaction.Otherwise, new EntryStamp(entry.Index, timestamp), defaultTtlMs);
        foreach (TransactionStep step in planned.Steps)
        {
            ReadOnlyMemory<byte> record = default;
            if ((step.Kind == OperationKind.Get || writer.NeedsRecords) && !TryRead(step.Key, out record))
            {
                return false;
            }

            planned.Add(step, record, step.Kind == OperationKind.Get ? Answer(record) : default);
        }

        _read.Clear();
        plan = planned;
        return true;
    }

    /// <summary>Makes the writes of the branch, and tells what it came to. Where the answer would be too long it has no effect.</summary>
    public ApplyResult CarryOut(TransactionPlan plan)
    {
        if (plan.AnswerBytes > TransactionAnswer.MaxBytes)
        {
            return new ApplyResult(Outcome.NotDone, RefusalCode.TooLarge, LogIndex.Zero);
        }

        for (int i = 0; i < plan.Steps.Count; i++)
        {
            TransactionStep step = plan.Steps[i];
            if (step.Kind == OperationKind.Put)
            {
                writer.Put(step.Key.Span, step.Value.Span, plan.Stamp, plan.TtlOf(step), plan.Records[i]);
            }
            else if (step.Kind == OperationKind.Delete)
            {
                writer.Delete(step.Key.Span, plan.Stamp, plan.Records[i]);
            }
        }

        return new ApplyResult(Outcome.Done, RefusalCode.None, plan.Stamp.Index) { Transaction = new TransactionAnswer(plan.Held, plan.Answers) };
    }

    /// <summary>The view is becoming another one.</summary>
    public void Clear()
    {
        _read.Clear();
        _readFor = LogIndex.Zero;
    }

    private bool TryRead(Key key, out ReadOnlyMemory<byte> record)
    {
        if (_read.TryGetValue(key, out record))
        {
            return true;
        }

        if (storage.Find(RecordSpace.Data, key.Span, out record) == RecordLookup.NotResident)
        {
            Missing = key;
            return false;
        }

        _read.Add(key, record);
        return true;
    }

    private bool Holds(in Comparison comparison, ReadOnlyMemory<byte> record)
    {
        LogIndex version = versions.VersionOf(record);
        bool exists = version > LogIndex.Zero;
        return comparison.Kind switch
        {
            ComparisonKind.Exists => exists,
            ComparisonKind.Absent => !exists,
            ComparisonKind.VersionIs => exists && version == RecordVersions.ReadExpected(comparison.Operand) && versions.HasAccountedFor(comparison.Operand),
            ComparisonKind.ValueIs => exists && Answer(record).Value.Span.SequenceEqual(comparison.Operand.Span),
            _ => false,
        };
    }

    private StepAnswer Answer(ReadOnlyMemory<byte> record)
    {
        if (record.IsEmpty)
        {
            return new StepAnswer(OperationKind.Get);
        }

        if (OrderedRecord.IsOrdered(record.Span))
        {
            OrderedRecord found = OrderedRecord.Decode(record);
            return new StepAnswer(OperationKind.Get) { Found = true, Value = found.Visible, Version = RecordVersions.Encode(found.Index), ExpiresMs = found.ExpiresMs };
        }

        DottedObject left = DottedObject.Decode(record);
        return left.IsEmpty
            ? new StepAnswer(OperationKind.Get)
            : new StepAnswer(OperationKind.Get)
            {
                Found = true,
                Value = left.Winner.Value,
                Version = versions.Encode(left),
                SiblingCount = left.SiblingCount > 1 ? left.SiblingCount : 0,
                ExpiresMs = left.Winner.ExpiresMs,
            };
    }
}
