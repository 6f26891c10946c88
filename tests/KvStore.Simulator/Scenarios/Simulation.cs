using KvStore.Simulator.Checks;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// Plays one seed of one scenario: a cluster starts, clients work while faults strike, everything heals, what was pending ends, and the evidence is judged. Start reading here.
/// </summary>
internal sealed class Simulation
{
    private const long WorkUs = 30_000_000;

    private readonly Timeline _timeline = new();
    private readonly EventTrace _trace;
    private readonly ScenarioSettings _settings;
    private readonly ScenarioKind _kind;
    private readonly ulong _seed;
    private readonly SimulatedCluster _cluster;
    private readonly FaultSchedule _faults;
    private readonly HistoryRecorder _recorder;
    private readonly SeedSource _seeds;

    private Simulation(ScenarioKind kind, ulong seed, TextWriter? lines)
    {
        _kind = kind;
        _seed = seed;
        _seeds = new SeedSource((seed << 1) | (kind == ScenarioKind.Cp ? 0u : 1u));
        _trace = new EventTrace(_timeline, lines);
        _settings = ScenarioSettings.Draw(kind, _seeds.Next());
        _cluster = new SimulatedCluster(_settings, _timeline, _trace, _seeds);
        _faults = new FaultSchedule(_cluster, _seeds.Next());
        _recorder = new HistoryRecorder(new VirtualTime(_timeline));
    }

    public static SimulationReport Run(ScenarioKind kind, ulong seed, TextWriter? lines = null) => new Simulation(kind, seed, lines).Run();

    private SimulationReport Run()
    {
        string? failure = null;
        try
        {
            _trace.Say(_settings.ToString);
            Play();
        }
        catch (Exception found) when (found is not OutOfMemoryException)
        {
            failure = found is SimulationFailedException ? found.Message : found.ToString();
            _trace.Say(() => "FAILED: " + failure);
            _trace.Say(DescribeNodes);
        }

        IReadOnlyList<RecordedOperation> operations = _recorder.ToHistory().Operations;
        return new SimulationReport
        {
            Seed = _seed,
            Kind = _kind,
            Settings = _settings.ToString(),
            Failure = failure,
            TraceHash = _trace.Hash,
            Operations = operations.Count,
            Done = operations.Count(operation => operation.Outcome == RecordedOutcome.Done),
            VirtualTime = TimeSpan.FromMicroseconds(_timeline.NowUs),
            Events = _timeline.Executed,
            Faults = _trace.Faults,
        };
    }

    private void Play()
    {
        foreach (SimulatedNode node in _cluster.Nodes)
        {
            node.Start();
        }

        if (_kind == ScenarioKind.Cp)
        {
            PlayOrdered();
        }
        else
        {
            PlayOpen();
        }
    }

    private void PlayOrdered()
    {
        var answers = new AnswerWatch { AcknowledgesEarly = _settings.Mode.Replication != Core.Policy.Replication.Sync };
        var context = new ClientContext(_cluster, _recorder, answers);
        List<OrderedClient> clients = [];
        for (int i = 0; i < _settings.Clients; i++)
        {
            clients.Add(new OrderedClient(context, i, _seeds.Next(), _settings.OperationsPerClient));
        }

        clients.ForEach(client => client.Begin());
        _faults.Begin();
        _timeline.RunUntil(() => clients.TrueForAll(client => client.HasFinished), WorkUs);
        context.Stopping = true;
        _faults.HealAll();
        Demand("every pending operation ends", () => clients.TrueForAll(client => client.IsIdle), 60_000_000);

        context.Loss = 0;
        var last = new OrderedClient(context, clients.Count, _seeds.Next(), 0);
        for (int key = 0; key < _settings.Keys; key++)
        {
            int each = key;
            last.PutNow(each);
            Demand($"a new write of k{key} is done", () => last.IsIdle && last.LastWasDone, 15_000_000);
            last.GetNow(each);
            Demand($"a new read of k{key} is done", () => last.IsIdle && last.LastWasDone, 15_000_000);
        }

        Demand("all replicas apply the same", () => _cluster.Nodes.All(node => node.Replica!.Position == _cluster.Nodes[0].Replica!.Position), 20_000_000);
        Demand("nothing is pending", () => _cluster.Nodes.All(node => node.Replica!.PendingCount == 0), 10_000_000);
        _timeline.RunFor(2_000_000);
        OrderedVerdict.CheckEqualViews(_cluster);
        _cluster.LostWrites.Check(_cluster, _settings);
        OrderedVerdict.CheckHistory(_recorder.ToHistory(), _settings);
    }

    private void PlayOpen()
    {
        var context = new ClientContext(_cluster, _recorder, new AnswerWatch { AcknowledgesEarly = true });
        List<OpenClient> clients = [];
        for (int i = 0; i < _settings.Clients; i++)
        {
            clients.Add(new OpenClient(context, i, _seeds.Next(), _settings.OperationsPerClient));
        }

        clients.ForEach(client => client.Begin());
        _faults.Begin();
        _timeline.RunUntil(() => clients.TrueForAll(client => client.HasFinished), WorkUs);
        context.Stopping = true;
        _faults.HealAll();
        Demand("every pending operation ends", () => clients.TrueForAll(client => client.IsIdle), 20_000_000);

        Demand("all clocks are equal and nothing waits for a peer", () => OpenVerdict.HasConverged(_cluster), 60_000_000);
        context.Loss = 0;
        var last = new OpenClient(context, clients.Count, _seeds.Next(), 0);
        for (int key = 0; key < _settings.Keys; key++)
        {
            int wanted = key;
            last.QuorumGetNow(wanted);
            Demand($"a quorum read of k{key} is done", () => IsDoneOrAskedAgain(last, wanted), 5_000_000);
        }

        var dumps = new OpenDumps(_cluster);
        Demand("every replica answers for every key", () => dumps.AreComplete, 5_000_000);
        Demand("nothing is pending", () => _cluster.Nodes.All(node => node.Replica!.PendingCount == 0), 10_000_000);
        OpenVerdict.Check(_recorder.ToHistory(), dumps, context, _faults);
    }

    /// <summary>A refusal right after the heal is right while the detector still calls the others down: who asks again gets an answer.</summary>
    private static bool IsDoneOrAskedAgain(OpenClient client, int key)
    {
        if (client.IsIdle && !client.LastWasDone)
        {
            client.QuorumGetNow(key);
        }

        return client.IsIdle && client.LastWasDone;
    }

    private void Demand(string what, Func<bool> condition, long withinUs)
    {
        if (!_timeline.RunUntil(condition, withinUs))
        {
            throw new SimulationFailedException($"After the heal, not within {withinUs / 1_000_000} s: {what}.{Environment.NewLine}{DescribeNodes()}");
        }
    }

    private string DescribeNodes() => string.Join(Environment.NewLine, _cluster.Nodes.Select(Describe));

    private static string Describe(SimulatedNode node)
    {
        if (node.Replica is not { } replica)
        {
            return $"{node.Id} is down";
        }

        var status = replica.Describe();
        return $"{node.Id} {status.Role} term {status.Term.Value} leader {status.Leader} commit {status.Commit.Value} applied {status.Applied.Value} last {status.LastIndex.Value} "
            + $"pending {replica.PendingCount} clock {status.Clock} lag {status.PeerLag} {status.Fenced}";
    }
}
