using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Scenarios;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Clusters;

/// <summary>
/// Plays one seed of a whole cluster: production nodes with many shards of several keyspaces, production clients, real bytes between them; clients work while faults strike, everything heals, what was pending ends,
/// and each keyspace is judged by what it promises. Start reading here.
/// </summary>
internal sealed class ClusterSimulation
{
    private const long WorkUs = 25_000_000;

    /// <summary>One seed in so many has transactions too.</summary>
    private const ulong TransactionSeeds = 3;

    private readonly Timeline _timeline = new();
    private readonly EventTrace _trace;
    private readonly ClusterSettings _settings;
    private readonly ulong _seed;
    private readonly SimulationOptions _options;
    private readonly IReadOnlyList<Strike> _plan;
    private readonly SeedSource _seeds;
    private readonly World _world;
    private readonly ClusterFaults _faults;
    private readonly ClusterContext _context;

    private ClusterSimulation(ulong seed, SimulationOptions options)
    {
        _seed = seed;
        _options = options;
        _seeds = new SeedSource(~seed);
        _trace = new EventTrace(_timeline, options.Lines);
        ClusterSettings drawn = ClusterSettings.Draw(_seeds.Next());
        _settings = drawn with { OperationsPerWorker = Math.Max(1, drawn.OperationsPerWorker * options.LoadPercent / 100) };
        IReadOnlyList<Strike> plan = FaultPlan.Draw(_settings.Faults with { Nodes = _settings.Nodes }, WorkUs, _seeds.Next());
        _plan = options.Keep is { } keep ? [.. plan.Where(strike => keep.Contains(strike.Number))] : plan;
        _world = new World(_settings, _timeline, _trace, _seeds);
        _faults = new ClusterFaults(_world, _seeds.Next());
        _context = new ClusterContext(_world);
    }

    public static SimulationReport Run(ulong seed, SimulationOptions options) => new ClusterSimulation(seed, options).Run();

    private SimulationReport Run()
    {
        string? failure = null;
        string? checker = null;
        try
        {
            _trace.Say(_settings.ToString);
            Play();
        }
        catch (Exception found) when (found is not OutOfMemoryException)
        {
            failure = found is SimulationFailedException ? found.Message : found.ToString();
            checker = (found as SimulationFailedException)?.Checker ?? found.GetType().Name;
            _trace.Say(() => "FAILED: " + failure);
        }

        RecordedOperation[] operations = [.. _settings.Keyspaces.SelectMany(keyspace => _context.Recorder(keyspace).ToHistory().Operations)];
        return new SimulationReport
        {
            Seed = _seed,
            Kind = ScenarioKind.Cluster,
            Options = _options,
            Nodes = _settings.Nodes,
            Settings = _settings.ToString(),
            Failure = failure,
            Checker = checker,
            TraceHash = _trace.Hash,
            Operations = operations.Length,
            Done = operations.Count(operation => operation.Outcome == RecordedOutcome.Done),
            VirtualTime = TimeSpan.FromMicroseconds(_timeline.NowUs),
            Events = _timeline.Executed,
            Counts = _trace.Counts,
            Rare = new long[Enum.GetValues<RareBranch>().Length],
            Strikes = _faults.Struck,
        };
    }

    private void Play()
    {
        foreach (ClusterNode node in _world.Nodes)
        {
            node.Start();
        }

        List<ClusterWorker> workers = [];
        for (int i = 0; i < _settings.Clients; i++)
        {
            ClusterClient client = new(_world, i, _world.Nodes[i % _settings.Nodes], _seeds.Next());
            for (int worker = 0; worker < _settings.WorkersPerClient; worker++)
            {
                workers.Add(new ClusterWorker(client, _context, worker, _seeds.Next(), _settings.OperationsPerWorker));
            }
        }

        // In every keyspace with a log, whatever its replication: transactions are acknowledged at commit.
        List<ClusterTransactions> transactions = _seed % TransactionSeeds != 1
            ? []
            : [.. _settings.Keyspaces.Where(keyspace => !keyspace.IsOpen).Select(keyspace => new ClusterTransactions(_world, _context, keyspace, _seed))];
        workers.ForEach(worker => worker.Begin());
        transactions.ForEach(work => work.Begin());
        _faults.Begin(_plan);
        Until(() => workers.TrueForAll(worker => worker.HasFinished) && transactions.TrueForAll(work => work.HaveFinished), WorkUs);
        _context.Stopping = true;
        _faults.HealAll();
        Demand("every pending operation ends", () => workers.TrueForAll(worker => worker.IsIdle) && transactions.TrueForAll(work => work.AreIdle) ? null : "some worker waits", 15_000_000);
        ServesAgain();
        transactions.ForEach(JudgeTransactions);
        Demand("all replicas of each shard stand at the same place, and nothing is pending", () => ClusterVerdict.Unfinished(_world), 60_000_000);
        foreach (KeyspaceSettings keyspace in _settings.Keyspaces)
        {
            var reads = new LocalReads(_world, keyspace);
            Demand($"every replica of {keyspace.Name} answers for every key", () => reads.AreComplete ? null : "not yet", 5_000_000);
            ClusterVerdict.Check(keyspace, reads, _context, _faults.Crashed);
        }
    }

    private void JudgeTransactions(ClusterTransactions transactions)
    {
        transactions.ReadAgain();
        Demand(
            "a transaction is done",
            () =>
            {
                if (!transactions.WasReadAgain)
                {
                    transactions.ReadAgain();
                }

                return transactions.WasReadAgain ? null : "no answer yet";
            },
            15_000_000);
        transactions.CheckEnd();
    }

    /// <summary>After the heal every key can be written and read, from anywhere.</summary>
    private void ServesAgain()
    {
        foreach (KeyspaceSettings keyspace in _settings.Keyspaces)
        {
            for (int key = 0; key < _settings.Keys; key++)
            {
                int wanted = key;
                ClusterClient client = new(_world, _settings.Clients + key, _world.Nodes[key % _settings.Nodes], _seeds.Next());
                ClusterWorker last = new(client, _context, (int)keyspace.Id, _seeds.Next(), 0);
                Insist($"a new write of {keyspace.Name}/k{key} is done", last, () => last.PutNow(keyspace, wanted));
                Insist($"a new read of {keyspace.Name}/k{key} is done", last, () => last.GetNow(keyspace, wanted));
            }
        }
    }

    /// <summary>A refusal right after the heal is right while the detector still calls the others down: who asks again gets an answer.</summary>
    private void Insist(string what, ClusterWorker worker, Action ask)
    {
        bool asked = false;
        Demand(
            what,
            () =>
            {
                if (worker.IsIdle && !(asked && worker.LastWasDone))
                {
                    asked = true;
                    ask();
                }

                return worker.IsIdle ? null : "no answer yet";
            },
            15_000_000);
    }

    private void Demand(string what, Func<string?> missing, long withinUs)
    {
        if (!Until(() => missing() is null, withinUs))
        {
            throw new SimulationFailedException(SimulationFailedException.Progress, $"After the heal, not within {withinUs / 1_000_000} s: {what}; {missing()}.{Environment.NewLine}{Describe()}");
        }
    }

    private bool Until(Func<bool> condition, long atMostUs)
    {
        bool holds = _timeline.RunUntil(() => _world.Failure is not null || condition(), atMostUs);
        return _world.Failure is { } failure ? throw new SimulationFailedException(SimulationFailedException.Invariants, failure) : holds;
    }

    private string Describe() => string.Join(Environment.NewLine, _world.Nodes.SelectMany(node => node.Replicas.Select(replica => Describe(node, replica))));

    private static string Describe(ClusterNode node, ShardReplica replica)
    {
        ReplicaStatus status = replica.Describe();
        return $"{node.Id} {status.Descriptor.Shard} {status.Role} term {status.Term.Value} leader {status.Leader} commit {status.Commit.Value} applied {status.Applied.Value} last {status.LastIndex.Value} "
            + $"pending {replica.PendingCount} clock {status.Clock} lag {status.PeerLag} {status.Fenced}";
    }
}
