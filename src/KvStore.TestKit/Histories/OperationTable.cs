namespace KvStore.TestKit.Histories;

/// <summary>
/// The operations of one key, prepared for a search: only those that count, states and kinds of steps as small numbers, and every step computed once.
/// </summary>
internal sealed class OperationTable
{
    public const int Impossible = -1;
    private readonly SequentialModel _model;
    private readonly List<string?> _states = [];
    private readonly Dictionary<string, int> _stateNumbers = [];
    private readonly Dictionary<(int State, int Step), int> _transitions = [];
    private readonly int[] _stepOf;
    private int _absentState = Impossible;

    public OperationTable(SequentialModel model, IReadOnlyList<RecordedOperation> ofOneKey)
    {
        _model = model;
        Operations = Relevant(model, ofOneKey);
        _stepOf = new int[Operations.Length];
        TwinBefore = new int[Operations.Length];
        NumberSteps();
        Initial = NumberOf(model.Initial);
    }

    /// <summary>What has to be placed (done) or may be (unknown writes), by order of invocation.</summary>
    public RecordedOperation[] Operations { get; }

    /// <summary>
    /// For an unknown write the number of an equal one that was invoked before it, else -1. Equal open writes are interchangeable, so that the later one need
    /// only be tried once the earlier one is placed.
    /// </summary>
    public int[] TwinBefore { get; }

    public int Initial { get; }

    public bool IsOpen(int operation) => Operations[operation].Outcome == RecordedOutcome.Unknown;

    /// <summary>The state after the operation, or <see cref="Impossible"/>.</summary>
    public int Step(int state, int operation)
    {
        var key = (state, _stepOf[operation]);
        if (!_transitions.TryGetValue(key, out var next))
        {
            next = _model.TryStep(_states[state], Operations[operation], out var after) ? NumberOf(after) : Impossible;
            _transitions.Add(key, next);
        }

        return next;
    }

    public string? StateText(int state) => _states[state];

    private static RecordedOperation[] Relevant(SequentialModel model, IReadOnlyList<RecordedOperation> operations)
    {
        // An unknown write whose value no answer depends on need not be placed: after it, only other writes could follow, and these need nobody before them.
        // A failed comparison does depend on it, since any other value makes it right.
        var prune = model.ReadsReturnWrittenValues && !operations.Any(operation => operation.Outcome == RecordedOutcome.Mismatched);
        var observed = new HashSet<string>();
        var observedAbsence = false;
        foreach (var operation in operations)
        {
            if (operation is { Kind: RecordedKind.Get, Outcome: RecordedOutcome.Done })
            {
                observed.UnionWith(operation.Values);
                observedAbsence |= operation.Values.Count == 0;
            }
            else if (operation.Kind == RecordedKind.CompareAndSet && operation.MayHaveWritten)
            {
                observedAbsence |= operation.Expected is null;
                observed.Add(operation.Expected ?? "");
            }
        }

        return
        [
            .. operations.Where(operation => operation.Outcome switch
            {
                RecordedOutcome.NotDone => false,
                RecordedOutcome.Unknown when operation.Kind == RecordedKind.Get => false,
                RecordedOutcome.Unknown when prune => operation.Input is null ? observedAbsence : observed.Contains(operation.Input),
                _ => true,
            }),
        ];
    }

    private void NumberSteps()
    {
        var numbers = new Dictionary<(RecordedKind, RecordedOutcome, string?, string?, string?, int), int>();
        var lastTwin = new Dictionary<int, int>();
        for (var number = 0; number < Operations.Length; number++)
        {
            var operation = Operations[number];
            var output = operation.Values.Count == 0 ? null : operation.Values[0];
            var step = (operation.Kind, operation.Outcome, operation.Input, operation.Expected, output, operation.Values.Count);
            if (!numbers.TryGetValue(step, out _stepOf[number]))
            {
                _stepOf[number] = numbers.Count;
                numbers.Add(step, numbers.Count);
            }

            TwinBefore[number] = IsOpen(number) && lastTwin.TryGetValue(_stepOf[number], out var twin) ? twin : -1;
            lastTwin[_stepOf[number]] = number;
        }
    }

    private int NumberOf(string? state)
    {
        if (state is null)
        {
            if (_absentState == Impossible)
            {
                _absentState = _states.Count;
                _states.Add(null);
            }

            return _absentState;
        }

        if (!_stateNumbers.TryGetValue(state, out var number))
        {
            number = _states.Count;
            _states.Add(state);
            _stateNumbers.Add(state, number);
        }

        return number;
    }
}
