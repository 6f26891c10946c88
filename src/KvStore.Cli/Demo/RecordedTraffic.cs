using KvStore.Contracts.V1;
using KvStore.TestKit.Histories;

namespace KvStore.Cli.Demo;

/// <summary>How many operations of one node's clients ended how.</summary>
internal readonly record struct TrafficCount(int Done, int Refused, int Unknown)
{
    public static TrafficCount operator +(TrafficCount a, TrafficCount b) => new(a.Done + b.Done, a.Refused + b.Refused, a.Unknown + b.Unknown);

    public static TrafficCount operator -(TrafficCount a, TrafficCount b) => new(a.Done - b.Done, a.Refused - b.Refused, a.Unknown - b.Unknown);

    public override string ToString() => $"{Done} done, {Refused} refused{(Unknown == 0 ? "" : $", {Unknown} unknown")}";
}

/// <summary>
/// Clients of one keyspace, one at each node, that read and write a few keys at a steady pace and record what they are told. Every write has a value of its own, so that
/// the checkers can tell all of them apart.
/// </summary>
internal sealed class RecordedTraffic(DemoCluster cluster, string keyspace, HistoryRecorder recorder, string prefix = "key-")
{
    /// <summary>Few enough to collide, enough to keep each key's history short: the check grows fast with the operations of one key.</summary>
    public const int Keys = 12;

    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(25);

    private readonly Lock _lock = new();
    private readonly Dictionary<uint, TrafficCount> _counts = [];
    private readonly Dictionary<(string Key, string Merged), RecordedOperation> _merges = [];

    public static string Key(int number) => $"key-{number}";

    private string Own(int number) => $"{prefix}{number}";

    /// <summary>Runs until the token is cancelled; operations in flight are awaited.</summary>
    public Task RunAsync(CancellationToken end) => Task.WhenAll(cluster.Nodes.Select(node => RunAsync(node, end)));

    /// <summary>What the clients of these nodes have been told so far.</summary>
    public TrafficCount CountOf(IEnumerable<uint> nodes)
    {
        lock (_lock)
        {
            return nodes.Aggregate(default(TrafficCount), (sum, node) => sum + _counts.GetValueOrDefault(node));
        }
    }

    /// <summary>What was recorded so far, merges included.</summary>
    public History ToHistory()
    {
        lock (_lock)
        {
            return new History([.. recorder.ToHistory().Operations, .. _merges.Values]);
        }
    }

    /// <summary>A write that is part of the history.</summary>
    public async Task<PinnedAnswer> PutAsync(PinnedNode node, string client, string key, string value, CancellationToken stop, PinnedAnswer? seen = null)
    {
        var operation = recorder.Begin(client, RecordedKind.Put, key, value, context: seen?.Values);
        var answer = await node.PutAsync(keyspace, key, value, seen?.Version, stop);
        switch (answer.Outcome)
        {
            case Outcome.Done when answer.IsProvisional:
                // It takes effect in the one order of all writes when it is merged, if nothing supersedes it before.
                operation.Unknown();
                break;
            case Outcome.Done:
                operation.Done();
                break;
            case Outcome.NotDone:
                operation.NotDone();
                break;
            default:
                operation.Unknown();
                break;
        }

        Count(node, answer);
        return answer;
    }

    /// <summary>A read that is part of the history. At the level that the keyspace's policy makes the usual one.</summary>
    public async Task<PinnedAnswer> GetAsync(PinnedNode node, string client, string key, CancellationToken stop)
    {
        var operation = recorder.Begin(client, RecordedKind.Get, key);
        var answer = await node.GetAsync(keyspace, key, ReadLevel.Unspecified, stop);
        if (answer.IsProvisional)
        {
            // No part of the one order.
            operation.NotDone();
        }
        else if (answer is { IsDone: true, Regime: Regime.Ordered, Values.Count: > 1 })
        {
            var merged = string.Join(" | ", answer.Values);
            NoteMerge(key, merged, operation.Recorded);
            operation.Done(merged);
        }
        else if (answer.IsDone)
        {
            operation.Done(answer.Values);
        }
        else
        {
            operation.NotDone();
        }

        Count(node, answer);
        return answer;
    }

    /// <summary>
    /// A merge is a write like any other, of which nobody tells but those who read what it made. It came before the first of them was answered; to say that it began later than that one had asked would be to claim more than is known.
    /// </summary>
    private void NoteMerge(string key, string merged, RecordedOperation read)
    {
        lock (_lock)
        {
            if (!_merges.TryGetValue((key, merged), out RecordedOperation? known) || read.InvokeOrder < known.InvokeOrder)
            {
                _merges[(key, merged)] = read with { Client = "a merge", Kind = RecordedKind.Put, Input = merged, Outcome = RecordedOutcome.Unknown };
            }
        }
    }

    private async Task RunAsync(PinnedNode node, CancellationToken end)
    {
        var client = $"client of node {node.Node}";
        using var timer = new PeriodicTimer(Pace);
        try
        {
            for (var number = 0; await timer.WaitForNextTickAsync(end); number++)
            {
                var key = Own((int)(((5 * number) + (7 * node.Node) + (number / Keys)) % Keys));
                if (number % 2 == 0)
                {
                    await PutAsync(node, client, key, $"n{node.Node}-{number}", CancellationToken.None);
                }
                else
                {
                    await GetAsync(node, client, key, CancellationToken.None);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The end of the traffic.
        }
    }

    private void Count(PinnedNode node, PinnedAnswer answer)
    {
        var one = answer.Outcome switch
        {
            Outcome.Done => new TrafficCount(1, 0, 0),
            Outcome.NotDone => new TrafficCount(0, 1, 0),
            _ => new TrafficCount(0, 0, 1),
        };
        lock (_lock)
        {
            _counts[node.Node] = _counts.GetValueOrDefault(node.Node) + one;
        }
    }
}
