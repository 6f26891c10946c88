namespace KvStore.TestKit.Histories;

/// <summary>
/// Pairs the events of a Jepsen history (invoke, then ok, fail or info by the same process) into operations. The order of events is that of the lines.
/// </summary>
internal sealed class JepsenEvents(HistoryLines lines)
{
    private readonly List<RecordedOperation> _operations = [];
    private readonly Dictionary<string, RecordedOperation> _pending = [];

    /// <summary>A process begins an operation.</summary>
    public void Invoke(string process, RecordedKind kind, string key, string? input, string? expected)
    {
        var started = new RecordedOperation
        {
            Client = process,
            Key = key,
            Kind = kind,
            Input = input,
            Expected = expected,
            Outcome = RecordedOutcome.Unknown,
            InvokeOrder = lines.Number,
            ReturnOrder = RecordedOperation.NeverReturned,
        };
        if (!_pending.TryAdd(process, started))
        {
            throw lines.Problem($"Process {process} invokes an operation before its last one has ended");
        }
    }

    /// <summary>A process ends the operation that it had begun.</summary>
    /// <param name="process">The process.</param>
    /// <param name="kind">The kind of operation that the line names.</param>
    /// <param name="type">The line's type: ok, fail or info.</param>
    /// <param name="timedOut">The line says that it timed out: then nobody knows the outcome, whatever its type.</param>
    /// <param name="values">What a read returned.</param>
    public void End(string process, RecordedKind kind, string type, bool timedOut, IReadOnlyList<string> values)
    {
        if (!_pending.Remove(process, out var started) || started.Kind != kind)
        {
            throw lines.Problem($"Process {process} ends an operation that it has not invoked");
        }

        var outcome = type switch
        {
            "info" => RecordedOutcome.Unknown,
            _ when timedOut => RecordedOutcome.Unknown,
            "ok" => RecordedOutcome.Done,
            _ when kind == RecordedKind.CompareAndSet => RecordedOutcome.Mismatched,
            _ => RecordedOutcome.NotDone,
        };
        var isAnswer = outcome == RecordedOutcome.Done && kind == RecordedKind.Get;
        _operations.Add(started with { Outcome = outcome, Values = isAnswer ? values : [], ReturnOrder = lines.Number });
    }

    public History ToHistory(SequentialModel model) => new(_operations.Concat(_pending.Values), model);
}
