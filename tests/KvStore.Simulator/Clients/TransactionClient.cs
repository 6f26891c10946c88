using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Transactions;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Clients;

/// <summary>
/// A client of transactions (<see cref="TransactionMix"/>) on one shard. Retries under the same request id at any node; what it was told goes into the <see cref="TransactionLedger"/>.
/// </summary>
internal sealed class TransactionClient(ClientContext context, TransactionLedger ledger, Random random, int operations)
{
    private const int MaxAttempts = 6;

    private sealed class Call
    {
        public required ClientOperation Operation { get; init; }

        public required TransactionLedger.Entry Entry { get; init; }

        public int Turn { get; set; }

        public int Attempts { get; set; }

        public bool MayHaveHappened { get; set; }
    }

    private readonly TransactionMix _mix = new(random);
    private readonly ulong _session = (ulong)random.NextInt64(1, long.MaxValue);
    private ulong _sequence;
    private int _left = operations;
    private Call? _call;
    private SimulatedNode? _leader;

    public bool IsIdle => _call is null;

    public bool HasFinished => IsIdle && (_left == 0 || context.Stopping);

    /// <summary>Whether the last transaction was done.</summary>
    public bool LastWasDone { get; private set; }

    public void Begin() => Think();

    /// <summary>Reads everything, whatever else the client would have done.</summary>
    public void ReadNow() => Open(_ => TransactionMix.ReadAll);

    private void Think() => context.Timeline.After(random.Next(1, context.Cluster.Settings.MaxThinkUs), () =>
    {
        if (_left <= 0 || context.Stopping)
        {
            return;
        }

        _left--;
        Open(_mix.Next);
    });

    private void Open(Func<int, Transaction> make)
    {
        TransactionLedger.Entry entry = ledger.Begin();
        entry.Asked = make(entry.Id);
        var operation = new ClientOperation
        {
            Kind = OperationKind.Transaction,
            Key = entry.Asked.Keys.First().Bytes,
            Value = entry.Asked.Encode(),
            Request = new RequestId(_session, ++_sequence, _sequence - 1),
            Epoch = new Epoch(1),
        };
        _call = new Call { Operation = operation, Entry = entry };
        Attempt(_call);
    }

    private void Attempt(Call call)
    {
        call.Attempts++;
        int turn = ++call.Turn;
        List<SimulatedNode> nodes = context.Cluster.Nodes;
        SimulatedNode node = _leader ?? nodes[random.Next(nodes.Count)];
        _leader = null;
        int patienceMs = random.Next(100, 1_200);
        ClientOperation operation = call.Operation;
        operation.DeadlineMs = context.Timeline.NowMs + patienceMs;
        context.Cluster.Trace.Say(() => $"to {node.Id}: {call.Entry}, attempt {call.Attempts}");
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
                _leader = node;
                ledger.Done(call.Entry, answer.Transaction, answer.OrderedVersion);
                _mix.Learn(call.Entry);
                End(call, done: true);
                break;
            case Outcome.NotDone:
                TransactionLedger.CheckRefusal(call.Entry, answer.Code, answer.Reason);
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
        if (call.Attempts == MaxAttempts)
        {
            if (!call.MayHaveHappened)
            {
                ledger.NotDone(call.Entry);
            }

            End(call, done: false);
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

    private void End(Call call, bool done)
    {
        context.Cluster.Trace.Say(() => $"{call.Entry} has ended");
        LastWasDone = done;
        _call = null;
        Think();
    }
}
