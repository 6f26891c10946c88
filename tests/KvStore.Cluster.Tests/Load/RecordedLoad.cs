using System.Collections.Concurrent;
using KvStore.TestKit.Histories;

namespace KvStore.Cluster.Tests.Load;

/// <summary>
/// Concurrent clients of one keyspace, each with one operation under way, at a steady pace. They share a few keys, on which they collide, and now and then write a key of their own that nobody overwrites.
/// Every value is written once, so the checkers can tell all writes apart.
/// </summary>
internal sealed class RecordedLoad
{
    private readonly HistoryRecorder _recorder = new();
    private readonly ConcurrentDictionary<string, long> _failures = new();
    private readonly CancellationTokenSource _end = new();
    private readonly LoadPlan _plan;
    private readonly Task _running;
    private long _done;
    private long _written;

    private RecordedLoad(LoadPlan plan, IEnumerable<Store> clients)
    {
        _plan = plan;
        _running = Task.WhenAll(clients.Select((client, index) => RunAsync(client, new Random(plan.Seed + index))).ToArray());
    }

    /// <summary>Operations that were done so far.</summary>
    public long Done => Interlocked.Read(ref _done);

    /// <summary>Writes that were done so far.</summary>
    public long Written => Interlocked.Read(ref _written);

    /// <summary>How many operations were not done or unknown, by outcome and code.</summary>
    public IReadOnlyDictionary<string, long> Failures => _failures;

    /// <summary>The shared keys.</summary>
    public IEnumerable<string> Keys => Enumerable.Range(0, _plan.Keys).Select(SharedKey);

    public static RecordedLoad Start(LoadPlan plan, IEnumerable<Store> clients) => new(plan, clients);

    /// <summary>Ends the load and waits for what is under way.</summary>
    public async Task StopAsync()
    {
        await _end.CancelAsync();
        await _running;
        _end.Dispose();
    }

    /// <summary>A read of a shared key that is part of the history, after the load has ended.</summary>
    public async Task<StoreAnswer> ReadAsync(Store client, string key)
    {
        OperationInProgress read = _recorder.Begin(client.Name + " at the end", RecordedKind.Get, key);
        StoreAnswer answer = await client.GetAsync(key);
        End(read, answer);
        return answer;
    }

    public History ToHistory() => _recorder.ToHistory();

    public override string ToString()
    {
        string failures = string.Join(", ", _failures.OrderByDescending(failure => failure.Value).Select(failure => $"{failure.Value} {failure.Key}"));
        return $"{_recorder.Count} operations, {Done} done ({Written} writes); {(failures.Length == 0 ? "no failures" : failures)}";
    }

    private static string SharedKey(int number) => $"shared-{number}";

    private async Task RunAsync(Store client, Random random)
    {
        var seen = new Dictionary<string, Seen>();
        using var pace = new PeriodicTimer(_plan.Pace);
        try
        {
            for (int number = 0; await pace.WaitForNextTickAsync(_end.Token); number++)
            {
                string key = SharedKey(random.Next(_plan.Keys));
                string value = $"{client.Name}-{number}";
                int dice = random.Next(100);
                await (dice switch
                {
                    < 40 => GetAsync(client, key, seen),
                    < 50 => PutAsync(client, $"own-{value}", value, seen),
                    < 68 => PutAsync(client, key, value, seen),
                    < 75 => DeleteAsync(client, key, seen),
                    _ when !seen.ContainsKey(key) => GetAsync(client, key, seen),
                    _ when _plan.IsOpen => PutInContextAsync(client, key, value, seen),
                    _ => CompareAndSetAsync(client, key, value, seen),
                });
            }
        }
        catch (OperationCanceledException)
        {
            // The end of the load.
        }
    }

    private async Task GetAsync(Store client, string key, Dictionary<string, Seen> seen)
    {
        OperationInProgress read = _recorder.Begin(client.Name, RecordedKind.Get, key);
        StoreAnswer answer = await client.GetAsync(key);
        End(read, answer);
        if (answer.Outcome == RecordedOutcome.Done)
        {
            seen[key] = new Seen(answer.Values, answer.Version);
        }
    }

    private async Task PutAsync(Store client, string key, string value, Dictionary<string, Seen> seen)
    {
        OperationInProgress write = _recorder.Begin(client.Name, RecordedKind.Put, key, value);
        StoreAnswer answer = await client.PutAsync(key, value);
        EndWrite(write, answer);
        if (answer.Outcome == RecordedOutcome.Done && !_plan.IsOpen)
        {
            seen[key] = new Seen([value], answer.Version);
        }
    }

    private async Task DeleteAsync(Store client, string key, Dictionary<string, Seen> seen)
    {
        OperationInProgress write = _recorder.Begin(client.Name, RecordedKind.Delete, key);
        EndWrite(write, await client.DeleteAsync(key));
        seen.Remove(key);
    }

    private async Task CompareAndSetAsync(Store client, string key, string value, Dictionary<string, Seen> seen)
    {
        seen.Remove(key, out Seen last);
        OperationInProgress write = _recorder.Begin(client.Name, RecordedKind.CompareAndSet, key, value, expected: last.Values.Count == 0 ? null : last.Values[0]);
        StoreAnswer answer = await client.TryPutAsync(key, value, last.Values.Count == 0 ? default : last.Version);
        EndWrite(write, answer);
        if (answer.Outcome == RecordedOutcome.Done)
        {
            seen[key] = new Seen([value], answer.Version);
        }
    }

    private async Task PutInContextAsync(Store client, string key, string value, Dictionary<string, Seen> seen)
    {
        seen.Remove(key, out Seen last);
        OperationInProgress write = _recorder.Begin(client.Name, RecordedKind.Put, key, value, context: last.Values);
        EndWrite(write, await client.PutInContextAsync(key, value, last.Version));
    }

    private void EndWrite(OperationInProgress operation, StoreAnswer answer)
    {
        if (answer.Outcome == RecordedOutcome.Done)
        {
            Interlocked.Increment(ref _written);
        }

        End(operation, answer);
    }

    private void End(OperationInProgress operation, StoreAnswer answer)
    {
        switch (answer.Outcome)
        {
            case RecordedOutcome.Done when _plan.IsOpen && answer.WasRetried:
                operation.DoneOnceOrTwice();
                Interlocked.Increment(ref _done);
                break;
            case RecordedOutcome.Done:
                operation.Done(answer.Values);
                Interlocked.Increment(ref _done);
                break;
            case RecordedOutcome.Mismatched:
                operation.Mismatched();
                Interlocked.Increment(ref _done);
                break;
            case RecordedOutcome.NotDone:
                operation.NotDone();
                Fail("not done", answer);
                break;
            default:
                operation.Unknown();
                Fail("unknown", answer);
                break;
        }
    }

    private void Fail(string outcome, StoreAnswer answer) => _failures.AddOrUpdate($"{outcome}: {answer.Code}", 1, (_, count) => count + 1);

    /// <summary>What a client last saw of a key: the basis of its comparisons and contexts.</summary>
    private readonly record struct Seen(IReadOnlyList<string> Values, ReadOnlyMemory<byte> Version);
}

/// <summary>What a load is like.</summary>
internal sealed record LoadPlan
{
    /// <summary>Chooses keys and operations.</summary>
    public required int Seed { get; init; }

    /// <summary>True: writes in context; false: compare-and-set.</summary>
    public required bool IsOpen { get; init; }

    /// <summary>Shared keys. The check of a key grows fast with its operations: keep it under some two hundred each.</summary>
    public int Keys { get; init; } = 24;

    /// <summary>Between two operations of one client.</summary>
    public TimeSpan Pace { get; init; } = TimeSpan.FromMilliseconds(20);
}
