using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Clients;

/// <summary>
/// A client of counters and of keys that expire, beside those of ordinary keys: it increments, puts with a time to live, and reads. Retries under the same request id at any node, and says that they are retries; what
/// it knows goes into the <see cref="TypedLedger"/>.
/// </summary>
internal sealed class TypedClient(ClientContext context, TypedLedger ledger, Random random, int number, int operations)
{
    private const int MaxAttempts = 6;

    private sealed class Call
    {
        public required ClientOperation Operation { get; init; }

        public required string Text { get; init; }

        public required TypedLedger.Entry Entry { get; init; }

        public int Turn { get; set; }

        public int Attempts { get; set; }

        public bool MayHaveHappened { get; set; }
    }

    private readonly ulong _session = (ulong)random.NextInt64(1, long.MaxValue);
    private ulong _sequence;
    private int _left = operations;
    private Call? _call;
    private SimulatedNode? _leader;

    public bool IsIdle => _call is null;

    public bool HasFinished => IsIdle && (_left == 0 || context.Stopping);

    public void Begin() => Think();

    private void Think() => context.Timeline.After(random.Next(1, context.Cluster.Settings.MaxThinkUs), () =>
    {
        if (_left <= 0 || context.Stopping)
        {
            return;
        }

        _left--;
        int dice = random.Next(10);
        if (dice < 5)
        {
            Increment(random.Next(TypedLedger.Counters), random.Next(1, 10));
        }
        else if (dice < 7)
        {
            PutExpiring(random.Next(TypedLedger.ExpiringKeys));
        }
        else
        {
            ReadExpiring(random.Next(TypedLedger.ExpiringKeys));
        }
    });

    private void Increment(int counter, int by)
    {
        string key = TypedLedger.CounterKey(counter);
        Open(key, new ClientOperation { Kind = OperationKind.Increment, Delta = by, Request = NextRequest() }, ledger.Count(key, by));
    }

    private void PutExpiring(int key)
    {
        string text = TypedLedger.ExpiringKey(key);
        string value = $"x{number}v{_sequence + 1}";
        var put = new ClientOperation { Kind = OperationKind.Put, Value = ClientKeys.Value(value, 3), TtlMs = TypedLedger.TtlMs, Request = NextRequest() };
        Open(text, put, ledger.Put(text, value));
    }

    private void ReadExpiring(int key)
    {
        string text = TypedLedger.ExpiringKey(key);
        ReadLevel level = context.Cluster.Settings.IsOpen ? ReadLevel.Quorum : ReadLevel.Linearizable;
        Open(text, new ClientOperation { Kind = OperationKind.Get, Level = level }, ledger.Read(text));
    }

    private RequestId NextRequest() => new(_session, ++_sequence, _sequence - 1);

    private void Open(string key, ClientOperation operation, TypedLedger.Entry entry)
    {
        operation.Key = Encoding.UTF8.GetBytes(key);
        operation.Epoch = new Epoch(1);
        _call = new Call { Operation = operation, Entry = entry, Text = $"{operation.Kind} {key} {operation.Delta}" };
        Attempt(_call);
    }

    private void Attempt(Call call)
    {
        call.Attempts++;
        int turn = ++call.Turn;
        SimulatedNode node = _leader ?? context.AnyNode(random);
        _leader = null;
        int patienceMs = random.Next(100, 1_200);
        ClientOperation operation = call.Operation;
        operation.MayHaveHappened = call.MayHaveHappened;
        operation.DeadlineMs = context.Timeline.NowMs + patienceMs;
        context.Cluster.Trace.Say(() => $"to {node.Id}: {call.Text}{(operation.MayHaveHappened ? " again" : "")}");
        context.Timeline.After((patienceMs + 50) * 1_000L, () =>
        {
            if (_call == call && call.Turn == turn)
            {
                call.MayHaveHappened = true;
                Retry(call);
            }
        });
        if (random.NextDouble() < context.Loss)
        {
            return;
        }

        context.Timeline.After(random.Next(20, 400), () => context.Cluster.Submit(node, operation, (by, completion) =>
        {
            if (random.NextDouble() >= context.Loss)
            {
                context.Timeline.After(random.Next(20, 400), () => OnAnswer(call, turn, by, completion));
            }
        }));
    }

    private void OnAnswer(Call call, int turn, SimulatedNode node, in Completion answer)
    {
        if (_call != call || call.Turn != turn)
        {
            return;
        }

        switch (answer.Outcome)
        {
            case Outcome.Done:
                _leader = context.Cluster.Settings.IsOpen ? null : node;
                string? value = answer.Found ? Encoding.UTF8.GetString(answer.Value.Span) : null;
                ledger.Done(call.Entry, answer.Counter, value, thin: answer.Acknowledgements < 2, degraded: answer.Degraded);
                End(call, $"done {answer.Counter} {value}");
                break;
            case Outcome.NotDone:
                TypedLedger.CheckRefusal(call.Entry, answer);
                _leader = answer.LeaderHint.IsNone ? null : context.Cluster.Nodes[(int)answer.LeaderHint.Value - 1];
                Retry(call);
                break;
            default:
                call.MayHaveHappened = true;
                Retry(call);
                break;
        }
    }

    private void Retry(Call call)
    {
        if (call.Attempts == MaxAttempts || call.Operation.Kind == OperationKind.Get)
        {
            if (call.MayHaveHappened || call.Operation.Kind == OperationKind.Get)
            {
                End(call, "unknown");
            }
            else
            {
                ledger.NotDone(call.Entry);
                End(call, "not done");
            }

            return;
        }

        int waiting = ++call.Turn;
        context.Timeline.After(random.Next(1_000, 200_000), () =>
        {
            if (_call == call && call.Turn == waiting)
            {
                Attempt(call);
            }
        });
    }

    private void End(Call call, string how)
    {
        context.Cluster.Trace.Say(() => $"{call.Text}: {how}");
        _call = null;
        Think();
    }
}
