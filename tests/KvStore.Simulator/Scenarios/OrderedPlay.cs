using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Nodes;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// An ordered shard: clients work, then all that was pending must end, new work must be done, replicas must agree, and the history must be right. What strikes meanwhile is the caller's.
/// </summary>
internal sealed class OrderedPlay
{
    private const long RestUs = 2_000_000;

    /// <summary>More than there are keys that expire.</summary>
    private const int MaxRests = 10;

    private readonly SimulationStage _stage;
    private readonly ClientContext _context;
    private readonly List<OrderedClient> _clients = [];
    private readonly TypedLoad _typed;
    private readonly TransactionLoad _transactions;
    private SessionClients? _sessions;

    public OrderedPlay(SimulationStage stage)
    {
        _stage = stage;
        var answers = new AnswerWatch(stage.Cluster.Watch) { AcknowledgesEarly = stage.Settings.Mode.Replication != Replication.Sync };
        _context = new ClientContext(stage.Cluster, stage.Recorder, answers);
        _typed = new TypedLoad(stage, _context);
        _transactions = new TransactionLoad(stage, _context);
    }

    /// <summary>Share of requests and of answers that get lost between client and node.</summary>
    public double ClientLoss
    {
        get => _context.Loss;
        set => _context.Loss = value;
    }

    /// <summary>What else must come to rest when faults have ended.</summary>
    public Action AfterHeal { get; init; } = () => { };

    public bool AreClientsDone => _clients.TrueForAll(client => client.HasFinished) && _typed.HasFinished && _transactions.HasFinished && _sessions?.HaveFinished != false;

    /// <summary>Operations that were done so far.</summary>
    public int Done => _clients.Sum(client => client.Done);

    /// <summary>Clients begin to work.</summary>
    public void Begin()
    {
        for (int i = 0; i < _stage.Settings.Clients; i++)
        {
            _clients.Add(new OrderedClient(_context, i, _stage.Seeds.Next(), _stage.Settings.OperationsPerClient));
        }

        _clients.ForEach(client => client.Begin());
        _typed.Begin();
        _transactions.Begin();
        _sessions = new SessionClients(_context, _stage.Seeds);
        _sessions.Begin();
    }

    /// <summary>Clients begin nothing more, faults end, and everything that is demanded of a healed shard is.</summary>
    public void HealAndJudge()
    {
        _context.Stopping = true;
        _stage.Faults.HealAll();
        AfterHeal();
        _stage.Demand("after the heal, every pending operation ends", () => _clients.TrueForAll(client => client.IsIdle) && _typed.IsIdle && _transactions.IsIdle && _sessions?.AreIdle != false, 60_000_000);
        _context.Loss = 0;
        var last = new OrderedClient(_context, _clients.Count, _stage.Seeds.Next(), 0);
        for (int key = 0; key < _stage.Settings.Keys; key++)
        {
            int wanted = key;
            last.PutNow(wanted);
            _stage.Demand($"after the heal, a new write of k{key} is done", () => IsDoneOrAskedAgain(last, wanted), 15_000_000);
            last.GetNow(key);
            _stage.Demand($"after the heal, a new read of k{key} is done", () => last.IsIdle && last.LastWasDone, 15_000_000);
        }

        _stage.Demand("after the heal, all replicas apply the same", HaveAppliedTheSame, 20_000_000);
        _stage.Demand("after the heal, nothing is pending", () => _stage.Cluster.Usable.All(node => node.Replica?.PendingCount == 0), 10_000_000);
        _transactions.Judge();
        _typed.Judge(() => _stage.Cluster.Usable);
        _stage.Demand("after what has expired is gone, all replicas apply the same", HaveAppliedTheSame, 20_000_000);
        Rest();
        EqualViews.Check(_stage.Cluster, _stage.Cluster.Usable);
        _stage.Cluster.Watch.Acknowledged.CheckEnd(_stage.Cluster.Watch.Committed.Newest);
        _stage.Cluster.Watch.LostWrites.Check(_stage.Cluster, _stage.Settings);
        OrderedVerdict.CheckHistory(_stage.Recorder.ToHistory(), _stage.Settings);
    }

    /// <summary>A node looks at its free space once a second, so that a refusal right after the heal can be right: who asks again is served.</summary>
    private static bool IsDoneOrAskedAgain(OrderedClient client, int key)
    {
        if (client.IsIdle && !client.LastWasDone)
        {
            client.PutNow(key);
        }

        return client.IsIdle && client.LastWasDone;
    }

    /// <summary>Until nothing was applied anywhere for as long as any replica may take to seal. Where clocks were wrong, what expires may do so only now.</summary>
    private void Rest()
    {
        for (int tries = 0; ; tries++)
        {
            ViewPosition?[] before = Positions();
            _stage.Timeline.RunFor(RestUs);
            if (before.SequenceEqual(Positions()))
            {
                return;
            }

            _stage.Require(tries < MaxRests, "a shard that nobody asks for anything comes to rest");
        }
    }

    private ViewPosition?[] Positions() => [.. _stage.Cluster.Usable.Select(node => node.Replica?.Position)];

    private bool HaveAppliedTheSame()
    {
        IReadOnlyList<SimulatedNode> nodes = _stage.Cluster.Usable;
        return nodes.All(node => node.Replica is { } replica && replica.Position == nodes[0].Replica?.Position);
    }
}
