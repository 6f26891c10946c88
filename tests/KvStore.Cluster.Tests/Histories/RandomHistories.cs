using KvStore.TestKit.Histories;

namespace KvStore.Cluster.Tests.Histories;

/// <summary>Histories from a seed.</summary>
internal static class RandomHistories
{
    /// <summary>
    /// What clients of a real sequential key see: each operation takes effect at a known moment between its invocation and its return, unknown ones at any
    /// later moment or never, failed ones never.
    /// </summary>
    public static List<RecordedOperation> OfARealKey(Random random, int clients, int perClient)
    {
        var planned = new List<(RecordedOperation Operation, long Effect)>();
        for (var client = 0; client < clients; client++)
        {
            long now = random.Next(20);
            for (var i = 0; i < perClient; i++)
            {
                var effect = now + random.Next(1, 30);
                var operation = Draw(random, $"{client}.{i}", $"{random.Next(clients)}.{random.Next(perClient)}") with
                {
                    Client = $"c{client}",
                    InvokeOrder = now,
                    ReturnOrder = effect + random.Next(1, 30),
                };
                now = operation.ReturnOrder + random.Next(1, 10);
                var fate = random.Next(20);
                if (fate == 0)
                {
                    operation = operation.NotDone();
                }
                else if (fate <= 2)
                {
                    operation = operation.Unknown();
                    effect = random.Next(3) == 0 ? long.MaxValue : effect + random.Next(200);
                }

                planned.Add((operation, effect));
            }
        }

        return Apply(planned);
    }

    /// <summary>Few operations with any answers at all, right or wrong.</summary>
    public static List<RecordedOperation> OfAnything(Random random)
    {
        var operations = new List<RecordedOperation>();
        var count = random.Next(1, 8);
        for (var i = 0; i < count; i++)
        {
            var from = random.Next(12);
            var operation = Draw(random, random.Next(3).ToString(), random.Next(3).ToString()) with { Client = $"c{i}", InvokeOrder = from, ReturnOrder = from + random.Next(8) };
            if (operation.Kind == RecordedKind.Get && random.Next(4) > 0)
            {
                operation = operation with { Values = [random.Next(3).ToString()] };
            }

            operation = random.Next(6) switch
            {
                0 => operation.Unknown(),
                1 when operation.Kind == RecordedKind.CompareAndSet => operation.Mismatched(),
                2 when random.Next(3) == 0 => operation.NotDone(),
                _ => operation,
            };
            operations.Add(operation);
        }

        return operations;
    }

    /// <summary>
    /// Makes one read return a value that a later write had certainly replaced: a put that had returned before another was invoked, which had itself returned
    /// before the read was invoked. Values must be unique. Null if the history has no such read.
    /// </summary>
    public static List<RecordedOperation>? WithAStaleRead(Random random, List<RecordedOperation> operations)
    {
        var candidates = (from read in operations
                          where read is { Kind: RecordedKind.Get, Outcome: RecordedOutcome.Done }
                          from later in operations
                          where later is { Kind: RecordedKind.Put, Outcome: RecordedOutcome.Done } && later.ReturnOrder < read.InvokeOrder
                          from earlier in operations
                          where earlier is { Kind: RecordedKind.Put, Outcome: RecordedOutcome.Done } && earlier.ReturnOrder < later.InvokeOrder
                          select (read, earlier)).ToList();
        if (candidates.Count == 0)
        {
            return null;
        }

        var (changed, stale) = candidates[random.Next(candidates.Count)];
        return [.. operations.Select(operation => ReferenceEquals(operation, changed) ? operation with { Values = [stale.Input!] } : operation)];
    }

    private static RecordedOperation Draw(Random random, string value, string expected) => random.Next(10) switch
    {
        < 4 => Recorded.Get(0, 0),
        < 7 => Recorded.Put(value, 0, 0),
        7 => Recorded.Delete(0, 0),
        8 => Recorded.Cas(expected, value, 0, 0),
        _ => Recorded.Cas(null, value, 0, 0),
    };

    private static List<RecordedOperation> Apply(List<(RecordedOperation Operation, long Effect)> planned)
    {
        string? state = null;
        var seen = new List<RecordedOperation>();
        foreach (var (operation, effect) in planned.OrderBy(plan => plan.Effect))
        {
            var happens = operation.Outcome != RecordedOutcome.NotDone && effect != long.MaxValue;
            var known = operation.Outcome == RecordedOutcome.Done;
            var result = operation;
            switch (operation.Kind)
            {
                case RecordedKind.Get when known:
                    result = operation with { Values = state is null ? [] : [state] };
                    break;
                case RecordedKind.CompareAndSet when happens && operation.Expected != state:
                    result = known ? operation.Mismatched() : operation;
                    break;
                case RecordedKind.Put or RecordedKind.Delete or RecordedKind.CompareAndSet when happens:
                    state = operation.Input;
                    break;
            }

            seen.Add(result);
        }

        return seen;
    }
}
