using System.Collections.Concurrent;

namespace KvStore.TestKit.Histories;

/// <summary>
/// Records what concurrent clients do. Call <see cref="Begin"/> before sending and end the operation after the answer has arrived: then the recorded order
/// never claims more than what really happened first. Safe for any number of threads; an operation costs one object and two atomic increments.
/// </summary>
/// <param name="time">The clock for the times that people read; only its monotonic timestamps are used. Without one: the system's.</param>
/// <example>
/// <code>
/// var recorder = new HistoryRecorder();
/// var put = recorder.Begin("client 1", RecordedKind.Put, "k", "v1");
/// // ... send it, and then one of
/// put.Done();
/// var result = LinearizabilityChecker.Check(recorder.ToHistory());
/// </code>
/// </example>
public sealed class HistoryRecorder(TimeProvider? time = null)
{
    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly long _start = (time ?? TimeProvider.System).GetTimestamp();
    private readonly ConcurrentQueue<OperationInProgress> _operations = new();
    private long _order;

    /// <summary>How many operations have begun.</summary>
    public int Count => _operations.Count;

    /// <summary>Notes that a client is about to send an operation.</summary>
    /// <param name="client">Who asks.</param>
    /// <param name="kind">What for.</param>
    /// <param name="key">The key.</param>
    /// <param name="input">The text to write; null for reads and deletes.</param>
    /// <param name="expected">What a compare-and-set expects; null: an absent key.</param>
    /// <param name="context">The values that the write's context has seen; null for a blind write.</param>
    /// <returns>The operation, to be ended exactly once. One that is never ended counts as unknown.</returns>
    public OperationInProgress Begin(
        string client, RecordedKind kind, string key, string? input = null, string? expected = null, IReadOnlyList<string>? context = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentNullException.ThrowIfNull(key);
        var started = new RecordedOperation
        {
            Client = client,
            Key = key,
            Kind = kind,
            Input = input,
            Expected = expected,
            Context = context,
            Outcome = RecordedOutcome.Unknown,
            InvokedAt = Elapsed(),
            InvokeOrder = NextOrder(),
            ReturnOrder = RecordedOperation.NeverReturned,
        };
        var operation = new OperationInProgress(this, started);
        _operations.Enqueue(operation);
        return operation;
    }

    /// <summary>The history so far. Operations that have not ended are unknown in it.</summary>
    /// <param name="model">What a single key is meant to be. Without one: <see cref="SequentialModel.KeyValue"/>.</param>
    public History ToHistory(SequentialModel? model = null) => new(_operations.Select(operation => operation.Recorded), model);

    internal long NextOrder() => Interlocked.Increment(ref _order);

    internal TimeSpan Elapsed() => _time.GetElapsedTime(_start);
}

/// <summary>An operation that a <see cref="HistoryRecorder"/> knows to have begun. End it exactly once.</summary>
public sealed class OperationInProgress
{
    private readonly HistoryRecorder _recorder;
    private RecordedOperation _recorded;
    private int _ended;

    internal OperationInProgress(HistoryRecorder recorder, RecordedOperation started)
    {
        _recorder = recorder;
        _recorded = started;
    }

    /// <summary>What is known of it so far; unknown until it has ended.</summary>
    public RecordedOperation Recorded => Volatile.Read(ref _recorded);

    /// <summary>The write took effect, or the read found nothing.</summary>
    /// <exception cref="InvalidOperationException">The operation had already ended.</exception>
    public void Done() => End(RecordedOutcome.Done, []);

    /// <summary>The write took effect, and perhaps twice: see <see cref="RecordedOperation.MayBeTwice"/>.</summary>
    /// <exception cref="InvalidOperationException">The operation had already ended.</exception>
    public void DoneOnceOrTwice() => End(RecordedOutcome.Done, [], mayBeTwice: true);

    /// <summary>The read returned a value, or found nothing.</summary>
    /// <param name="output">The value; null when the key was absent.</param>
    /// <exception cref="InvalidOperationException">The operation had already ended.</exception>
    public void Done(string? output) => End(RecordedOutcome.Done, output is null ? [] : [output]);

    /// <summary>The read returned siblings.</summary>
    /// <param name="siblings">All values of the key.</param>
    /// <exception cref="InvalidOperationException">The operation had already ended.</exception>
    public void Done(IReadOnlyList<string> siblings)
    {
        ArgumentNullException.ThrowIfNull(siblings);
        End(RecordedOutcome.Done, siblings);
    }

    /// <summary>The store said that it has had no effect and never will.</summary>
    /// <exception cref="InvalidOperationException">The operation had already ended.</exception>
    public void NotDone() => End(RecordedOutcome.NotDone, []);

    /// <summary>The comparison of a compare-and-set did not hold.</summary>
    /// <exception cref="InvalidOperationException">The operation had already ended, or is no compare-and-set.</exception>
    public void Mismatched()
    {
        if (_recorded.Kind != RecordedKind.CompareAndSet)
        {
            throw new InvalidOperationException($"Only a compare-and-set can have a failed comparison: {_recorded}.");
        }

        End(RecordedOutcome.Mismatched, []);
    }

    /// <summary>Nobody can say whether it happened: a time-out, a broken connection.</summary>
    /// <exception cref="InvalidOperationException">The operation had already ended.</exception>
    public void Unknown() => End(RecordedOutcome.Unknown, []);

    private void End(RecordedOutcome outcome, IReadOnlyList<string> values, bool mayBeTwice = false)
    {
        var order = _recorder.NextOrder();
        if (Interlocked.Exchange(ref _ended, 1) != 0)
        {
            throw new InvalidOperationException($"The operation has already ended: {_recorded}.");
        }

        var ended = _recorded with { Outcome = outcome, Values = values, ReturnOrder = order, ReturnedAt = _recorder.Elapsed(), MayBeTwice = mayBeTwice };
        Volatile.Write(ref _recorded, ended);
    }
}
