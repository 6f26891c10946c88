namespace KvStore.TestKit.Histories;

/// <summary>
/// What one key is meant to be if its operations came one at a time. A state is the key's text, or null for an absent key; keys are independent of each other.
/// </summary>
public abstract class SequentialModel
{
    private protected SequentialModel(string name) => Name = name;

    /// <summary>A key that holds a value or is absent: get, put, delete, compare-and-set. KvStore's ordered keyspaces.</summary>
    public static SequentialModel KeyValue { get; } = new ValueModel("key-value", deletes: true);

    /// <summary>A register that starts empty: get, put and compare-and-set.</summary>
    public static SequentialModel Register { get; } = new ValueModel("register", deletes: false);

    /// <summary>Text that starts empty: get, put and append.</summary>
    public static SequentialModel AppendedText { get; } = new AppendModel();

    /// <summary>The name that files use.</summary>
    public string Name { get; }

    /// <summary>The state of a key that nobody has touched.</summary>
    public abstract string? Initial { get; }

    /// <summary>Whether reads return exactly what one write has written, so that each value read leads back to its writer.</summary>
    internal abstract bool ReadsReturnWrittenValues { get; }

    internal abstract bool Knows(RecordedKind kind);

    /// <summary>
    /// Applies an operation to a state. An unknown write always applies, if only without effect; a done operation applies if its answer is right in this state.
    /// </summary>
    internal abstract bool TryStep(string? state, RecordedOperation operation, out string? next);

    internal static SequentialModel? ByName(string? name) =>
        new[] { KeyValue, Register, AppendedText }.FirstOrDefault(model => model.Name == name);

    private sealed class ValueModel(string name, bool deletes) : SequentialModel(name)
    {
        public override string? Initial => null;

        internal override bool ReadsReturnWrittenValues => true;

        internal override bool Knows(RecordedKind kind) => kind switch
        {
            RecordedKind.Get or RecordedKind.Put or RecordedKind.CompareAndSet => true,
            RecordedKind.Delete => deletes,
            _ => false,
        };

        internal override bool TryStep(string? state, RecordedOperation operation, out string? next)
        {
            next = state;
            switch (operation.Kind)
            {
                case RecordedKind.Get:
                    return operation.Values.Count <= 1 && (operation.Values.Count == 0 ? null : operation.Values[0]) == state;
                case RecordedKind.Put:
                    next = operation.Input;
                    return true;
                case RecordedKind.Delete:
                    next = null;
                    return true;
                default:
                    return TryCompareAndSet(state, operation, out next);
            }
        }

        private static bool TryCompareAndSet(string? state, RecordedOperation operation, out string? next)
        {
            var holds = operation.Expected == state;
            next = holds && operation.Outcome != RecordedOutcome.Mismatched ? operation.Input : state;
            return operation.Outcome switch
            {
                RecordedOutcome.Done => holds,
                RecordedOutcome.Mismatched => !holds,
                _ => true,
            };
        }
    }

    private sealed class AppendModel() : SequentialModel("appended-text")
    {
        public override string? Initial => "";

        internal override bool ReadsReturnWrittenValues => false;

        internal override bool Knows(RecordedKind kind) => kind is RecordedKind.Get or RecordedKind.Put or RecordedKind.Append;

        internal override bool TryStep(string? state, RecordedOperation operation, out string? next)
        {
            next = operation.Kind switch
            {
                RecordedKind.Put => operation.Input,
                RecordedKind.Append => state + operation.Input,
                _ => state,
            };
            return operation.Kind != RecordedKind.Get || (operation.Values.Count == 0 ? "" : operation.Values[0]) == state;
        }
    }
}
