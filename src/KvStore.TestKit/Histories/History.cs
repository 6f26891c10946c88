namespace KvStore.TestKit.Histories;

/// <summary>What several clients did to a store and what they were told: the evidence that the checkers judge.</summary>
public sealed class History
{
    /// <summary>A history of these operations, in any order.</summary>
    /// <param name="operations">The operations. Their orders of invocation and return must agree with what really happened first.</param>
    /// <param name="model">What a single key is meant to be. Without one: <see cref="SequentialModel.KeyValue"/>.</param>
    /// <exception cref="ArgumentException">An operation contradicts itself, or the model does not know its kind. The message names it.</exception>
    public History(IEnumerable<RecordedOperation> operations, SequentialModel? model = null)
    {
        ArgumentNullException.ThrowIfNull(operations);
        Model = model ?? SequentialModel.KeyValue;
        Operations = [.. operations.OrderBy(operation => operation.InvokeOrder)];
        foreach (var operation in Operations)
        {
            if (Contradiction(operation, Model) is { } contradiction)
            {
                throw new ArgumentException($"{contradiction}: {operation}.", nameof(operations));
            }
        }
    }

    /// <summary>All operations by order of invocation, also those that were not done and those whose outcome is unknown.</summary>
    public IReadOnlyList<RecordedOperation> Operations { get; }

    /// <summary>What a single key is meant to be.</summary>
    public SequentialModel Model { get; }

    /// <summary>Says what is impossible about an operation, or null.</summary>
    internal static string? Contradiction(RecordedOperation operation, SequentialModel model)
    {
        if (!model.Knows(operation.Kind))
        {
            return $"The model {model.Name} has no {operation.Kind}";
        }

        if (operation.ReturnOrder < operation.InvokeOrder)
        {
            return "An operation returns before it is invoked";
        }

        if (operation.ReturnOrder == RecordedOperation.NeverReturned && operation.Outcome != RecordedOutcome.Unknown)
        {
            return "An operation that never returned has an outcome";
        }

        if (operation is { Input: null, Kind: RecordedKind.Put or RecordedKind.Append })
        {
            return "A write has no value";
        }

        return operation.Outcome == RecordedOutcome.Mismatched && operation.Kind != RecordedKind.CompareAndSet
            ? "Only a compare-and-set can have a failed comparison"
            : null;
    }
}
