using Google.Protobuf;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Transactions;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.TestKit.Histories;
using Transaction = KvStore.Core.Replicas.Transactions.Transaction;

namespace KvStore.Simulator.Clusters;

/// <summary>Transactions on a keyspace of a whole cluster, through production clients: one after another for each of a few workers, into one ledger.</summary>
internal sealed class ClusterTransactions
{
    private const int Workers = 3;

    private readonly World _world;
    private readonly ClusterContext _context;
    private readonly KeyspaceSettings _keyspace;
    private readonly TransactionLedger _ledger;
    private readonly SeedSource _seeds;
    private readonly List<Worker> _workers = [];

    /// <summary>Random sources of their own, so that the rest of the seed stays as it is.</summary>
    public ClusterTransactions(World world, ClusterContext context, KeyspaceSettings keyspace, ulong seed)
    {
        _world = world;
        _context = context;
        _keyspace = keyspace;
        _ledger = new TransactionLedger(world.Timeline);
        _seeds = new SeedSource(seed ^ 0x7472_616E_7361_6374 ^ keyspace.Id);
        for (int i = 0; i < Workers; i++)
        {
            _workers.Add(new Worker(this, new ClusterClient(world, world.Settings.Clients + 100 + i, world.Nodes[i % world.Nodes.Count], _seeds.Next()), _seeds.Next(), world.Settings.OperationsPerWorker));
        }
    }

    public bool HaveFinished => _workers.TrueForAll(worker => worker.IsIdle && (worker.Left == 0 || _context.Stopping));

    public bool AreIdle => _workers.TrueForAll(worker => worker.IsIdle);

    /// <summary>Everything was read once more since the heal.</summary>
    public bool WasReadAgain => _workers[0] is { IsIdle: true, LastWasDone: true };

    public void Begin() => _workers.ForEach(worker => worker.Think());

    /// <summary>After the heal: everything is read once more.</summary>
    public void ReadAgain()
    {
        if (_workers[0].IsIdle)
        {
            _workers[0].Open(_ => TransactionMix.ReadAll);
        }
    }

    public void CheckEnd() => _ledger.CheckEnd();

    private sealed class Worker(ClusterTransactions all, ClusterClient client, Random random, int operations)
    {
        private readonly TransactionMix _mix = new(random);

        public int Left { get; private set; } = operations;

        public bool IsIdle { get; private set; } = true;

        public bool LastWasDone { get; private set; }

        public void Think() => all._world.Timeline.After(random.Next(1, all._world.Settings.MaxThinkUs), () =>
        {
            if (Left > 0 && !all._context.Stopping)
            {
                Left--;
                Open(_mix.Next);
            }
        });

        public void Open(Func<int, Transaction> make)
        {
            (IsIdle, LastWasDone) = (false, false);
            TransactionLedger.Entry entry = all._ledger.Begin();
            entry.Asked = make(entry.Id);
            var wire = new WireOperation { Kind = Contracts.V1.OperationKind.Transaction, Key = entry.Asked.Keys.First().Bytes, Transaction = Encode(entry.Asked) };
            client.Begin(all._keyspace.Name, wire, random.Next(200, 4_000), patient: random.Next(3) == 0, (outcome, answer, _) =>
            {
                Note(entry, outcome, answer);
                all._world.Trace.Add("transaction " + entry.Fate, client.Home.Index, all._keyspace.Id, (ulong)answer.Code);
                all._world.Trace.Say(() => $"{all._keyspace.Name}: {entry} {answer.Code} {answer.Reason}");
                IsIdle = true;
                Think();
            });
        }

        private void Note(TransactionLedger.Entry entry, RecordedOutcome outcome, in WireResult answer)
        {
            if (outcome == RecordedOutcome.Done)
            {
                KvStateMachine.TryReadVersion(answer.Version.Span, out LogIndex version);
                all._ledger.Done(entry, Decode(answer.Transaction), version);
                _mix.Learn(entry);
                LastWasDone = true;
            }
            else if (outcome == RecordedOutcome.NotDone)
            {
                TransactionLedger.CheckRefusal(entry, (RefusalCode)answer.Code, answer.Reason);
                all._ledger.NotDone(entry);
            }
        }
    }

    private static byte[] Encode(Transaction asked)
    {
        var message = new Contracts.V1.Transaction();
        message.Comparisons.AddRange(asked.Comparisons.Select(comparison => new Contracts.V1.Comparison
        {
            Kind = (Contracts.V1.ComparisonKind)comparison.Kind,
            Key = ByteString.CopyFrom(comparison.Key.Span),
            Version = comparison.Kind == Core.Replicas.Transactions.ComparisonKind.VersionIs ? ByteString.CopyFrom(comparison.Operand.Span) : ByteString.Empty,
            Value = comparison.Kind == Core.Replicas.Transactions.ComparisonKind.ValueIs ? ByteString.CopyFrom(comparison.Operand.Span) : ByteString.Empty,
        }));
        message.Then.AddRange(asked.Then.Select(Encode));
        message.Otherwise.AddRange(asked.Otherwise.Select(Encode));
        return message.ToByteArray();
    }

    private static TransactionOperation Encode(TransactionStep step) =>
        new() { Kind = (Contracts.V1.OperationKind)step.Kind, Key = ByteString.CopyFrom(step.Key.Span), Value = ByteString.CopyFrom(step.Value.Span), TtlMs = step.TtlMs };

    private static TransactionAnswer? Decode(ReadOnlyMemory<byte> encoded)
    {
        TransactionResult result = TransactionResult.Parser.ParseFrom(encoded.Span);
        return result.Branch == TransactionBranch.Unspecified ? null : new TransactionAnswer(
            result.Branch == TransactionBranch.Then,
            [.. result.Results.Select(came => new StepAnswer((Core.Replicas.OperationKind)came.Kind) { Found = came.Found, Value = came.Value.Memory, Version = came.Version.Memory })]);
    }
}
