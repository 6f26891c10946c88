using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Transactions;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Clients;

/// <summary>
/// A client of a bank and of two lists: it moves money between accounts, appends to both lists, and reads all of them, each time in one transaction. Retries under the same request id at any node; what it was told goes
/// into the <see cref="TransactionLedger"/>.
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

    private readonly Dictionary<Key, (string Value, ReadOnlyMemory<byte> Version)> _seen = [];
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
    public void ReadNow() => Open((_, _) => new Transaction([], Gets(TransactionLedger.Keys), []));

    private static List<TransactionStep> Gets(IEnumerable<Key> keys) => [.. keys.Select(key => new TransactionStep(OperationKind.Get, key))];

    private static TransactionStep Put(Key key, string value) => new(OperationKind.Put, key, Encoding.UTF8.GetBytes(value));

    private void Think() => context.Timeline.After(random.Next(1, context.Cluster.Settings.MaxThinkUs), () =>
    {
        if (_left <= 0 || context.Stopping)
        {
            return;
        }

        _left--;
        switch (random.Next(10))
        {
            case < 2:
                ReadNow();
                break;
            case < 6:
                Open(Transfer);
                break;
            default:
                Open(Append);
                break;
        }
    });

    /// <summary>Where the accounts are not known to exist: opens the bank.</summary>
    private Transaction Transfer(int id, Random chance)
    {
        List<Key> accounts = [.. Enumerable.Range(0, TransactionLedger.Accounts).Select(TransactionLedger.Account)];
        if (!accounts.TrueForAll(_seen.ContainsKey))
        {
            return new Transaction(
                [.. accounts.Select(key => new Comparison(ComparisonKind.Absent, key))],
                [.. accounts.Select(key => Put(key, TransactionLedger.Balance(TransactionLedger.FirstBalance, id)))],
                Gets(accounts));
        }

        Key from = accounts[chance.Next(accounts.Count)];
        accounts.Remove(from);
        Key to = accounts[chance.Next(accounts.Count)];
        accounts.Remove(to);
        int amount = chance.Next(1, 30);
        return new Transaction(
            [Unchanged(from, chance), Unchanged(to, chance), new Comparison(ComparisonKind.Exists, accounts[0])],
            [
                new TransactionStep(OperationKind.Get, from),
                Put(from, TransactionLedger.Balance(TransactionLedger.AmountOf(_seen[from].Value) - amount, id)),
                Put(to, TransactionLedger.Balance(TransactionLedger.AmountOf(_seen[to].Value) + amount, id)),
                new TransactionStep(OperationKind.Get, to),
            ],
            Gets(TransactionLedger.Keys));
    }

    private Transaction Append(int id, Random chance)
    {
        List<Key> lists = [.. Enumerable.Range(0, TransactionLedger.Lists).Select(TransactionLedger.List)];
        return new Transaction(
            [.. lists.Select(key => Unchanged(key, chance))],
            [.. lists.Select(key => Put(key, TransactionLedger.Append(_seen.TryGetValue(key, out (string Value, ReadOnlyMemory<byte> Version) known) ? known.Value : null, id)))],
            Gets(lists));
    }

    /// <summary>As far as the client has seen the key.</summary>
    private Comparison Unchanged(Key key, Random chance) => !_seen.TryGetValue(key, out (string Value, ReadOnlyMemory<byte> Version) known)
        ? new Comparison(ComparisonKind.Absent, key)
        : chance.Next(2) == 0 ? new Comparison(ComparisonKind.VersionIs, key, known.Version) : new Comparison(ComparisonKind.ValueIs, key, Encoding.UTF8.GetBytes(known.Value));

    private void Open(Func<int, Random, Transaction> make)
    {
        TransactionLedger.Entry entry = ledger.Begin();
        entry.Asked = make(entry.Id, random);
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
                ledger.Done(call.Entry, answer);
                Learn(call.Entry);
                End(call, done: true);
                break;
            case Outcome.NotDone:
                TransactionLedger.CheckRefusal(call.Entry, answer);
                _leader = answer.LeaderHint.IsNone ? null : context.Cluster.Nodes[(int)answer.LeaderHint.Value - 1];
                Retry(call);
                break;
            default:
                call.MayHaveHappened = true;
                Retry(call);
                break;
        }
    }

    private void Learn(TransactionLedger.Entry entry)
    {
        IReadOnlyList<TransactionStep> branch = entry.Answer!.Held ? entry.Asked.Then : entry.Asked.Otherwise;
        for (int i = 0; i < branch.Count; i++)
        {
            StepAnswer came = entry.Answer.Steps[i];
            if (branch[i].Kind == OperationKind.Put)
            {
                _seen[branch[i].Key] = (Encoding.UTF8.GetString(branch[i].Value.Span), came.Version);
            }
            else if (came.Found)
            {
                _seen[branch[i].Key] = (Encoding.UTF8.GetString(came.Value.Span), came.Version);
            }
            else
            {
                _seen.Remove(branch[i].Key);
            }
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
