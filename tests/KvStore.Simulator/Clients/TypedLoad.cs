using System.Globalization;
using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Clients;

/// <summary>The clients of counters and expiring keys of one run, where its settings want some, and what is demanded of them in the end.</summary>
internal sealed class TypedLoad
{
    private const int Clients = 3;

    private readonly SimulationStage _stage;
    private readonly TypedLedger _ledger;
    private readonly List<TypedClient> _clients = [];

    /// <summary>Random sources of their own, so that the rest of the seed stays as it is.</summary>
    public TypedLoad(SimulationStage stage, ClientContext context)
    {
        _stage = stage;
        _ledger = new TypedLedger(stage);
        if (stage.Settings.CountsAndExpires)
        {
            var seeds = new SeedSource(stage.Seeds.Seed ^ 0x7479_7065_6420_6C64);
            for (int i = 0; i < Clients; i++)
            {
                _clients.Add(new TypedClient(context, _ledger, seeds.Next(), i, stage.Settings.OperationsPerClient));
            }
        }
    }

    public bool HasFinished => _clients.TrueForAll(client => client.HasFinished);

    public bool IsIdle => _clients.TrueForAll(client => client.IsIdle);

    public void Begin() => _clients.ForEach(client => client.Begin());

    /// <summary>The shard is healed and its replicas are equal: counters are exact, on every replica, and what expires goes.</summary>
    public void Judge(Func<IReadOnlyList<SimulatedNode>> nodes)
    {
        if (_clients.Count == 0)
        {
            return;
        }

        for (int counter = 0; counter < TypedLedger.Counters; counter++)
        {
            string key = TypedLedger.CounterKey(counter);
            foreach (string? value in ReadEverywhere(nodes(), key))
            {
                _ledger.CheckEnd(key, value is null ? 0 : long.Parse(value, CultureInfo.InvariantCulture));
            }
        }

        if (!_ledger.ClocksWereWrong)
        {
            // A hybrid clock that was once ahead stays there, and so do expiries.
            var expired = new ExpiredValuesGo(_stage.Timeline, nodes);
            expired.Look();
            _stage.Demand("after the heal, what has expired is gone everywhere", () => expired.AreGone, 60_000_000);
        }
    }

    private List<string?> ReadEverywhere(IReadOnlyList<SimulatedNode> nodes, string key)
    {
        List<string?> values = [];
        foreach (SimulatedNode node in nodes)
        {
            bool answered = false;
            void Ask() => _stage.Cluster.Submit(
                node,
                new ClientOperation { Kind = OperationKind.Get, Level = ReadLevel.Eventual, Key = Encoding.UTF8.GetBytes(key), Epoch = new Epoch(1), DeadlineMs = _stage.Timeline.NowMs + 5_000 },
                (_, answer) =>
                {
                    if (answer.Outcome != Outcome.Done)
                    {
                        Ask();
                        return;
                    }

                    answered = true;
                    values.Add(answer.Found ? Encoding.UTF8.GetString(answer.Value.Span) : null);
                });
            Ask();
            _stage.Demand($"after the heal, {node.Id} answers for {key}", () => answered, 5_000_000);
        }

        return values;
    }
}
