using KvStore.Core.Identity;

namespace KvStore.Core.Replicas.Transactions;

/// <summary>What one transaction will do: its branch, what each step found, and what each will answer.</summary>
internal sealed class TransactionPlan(bool held, IReadOnlyList<TransactionStep> steps, EntryStamp stamp, ulong defaultTtlMs)
{
    private readonly List<ReadOnlyMemory<byte>> _records = new(steps.Count);
    private readonly List<StepAnswer> _answers = new(steps.Count);

    public bool Held { get; } = held;

    public IReadOnlyList<TransactionStep> Steps { get; } = steps;

    public EntryStamp Stamp { get; } = stamp;

    /// <summary>What lies under the key of each step so far; empty where nobody needs to know.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> Records => _records;

    public IReadOnlyList<StepAnswer> Answers => _answers;

    /// <summary>Bytes of values in the answer.</summary>
    public long AnswerBytes { get; private set; }

    /// <summary>How long the value of a put lives, in milliseconds. Zero: for ever.</summary>
    public ulong TtlOf(in TransactionStep step) => step.TtlMs == ClientOperation.NoExpiry ? 0 : step.TtlMs == 0 ? defaultTtlMs : step.TtlMs;

    /// <summary>The next step.</summary>
    /// <param name="step">Which one.</param>
    /// <param name="record">What lies under its key.</param>
    /// <param name="found">Gets: what the record says. A write that stands before the get in the branch says better.</param>
    public void Add(in TransactionStep step, ReadOnlyMemory<byte> record, in StepAnswer found)
    {
        _records.Add(record);
        StepAnswer answer = step.Kind switch
        {
            OperationKind.Put => new StepAnswer(OperationKind.Put) { Version = RecordVersions.Encode(Stamp.Index) },
            OperationKind.Delete => new StepAnswer(OperationKind.Delete),
            _ => Written(step.Key) ?? found,
        };
        _answers.Add(answer);
        AnswerBytes += answer.Value.Length;
    }

    /// <summary>What an earlier step of the branch leaves under a key.</summary>
    private StepAnswer? Written(Key key)
    {
        for (int i = 0; i < _answers.Count; i++)
        {
            TransactionStep earlier = Steps[i];
            if (earlier.Kind != OperationKind.Get && earlier.Key == key)
            {
                return earlier.Kind == OperationKind.Delete
                    ? new StepAnswer(OperationKind.Get)
                    : new StepAnswer(OperationKind.Get) { Found = true, Value = earlier.Value, Version = RecordVersions.Encode(Stamp.Index), ExpiresMs = Stamp.ExpiryAfter(TtlOf(earlier)) };
            }
        }

        return null;
    }
}
