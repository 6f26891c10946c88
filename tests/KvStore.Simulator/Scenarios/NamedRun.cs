using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Simulator.Clients;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Network;
using KvStore.Simulator.Nodes;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// One named scenario on one seed: clients work in the background, the scenario cuts, stops and asks as it says, and in the end everything heals and is judged as in any other run.
/// </summary>
internal sealed class NamedRun
{
    /// <summary>Keys from here on belong to the scenario: the clients in the background don't know them.</summary>
    public const int OwnKey = 40;

    private readonly OrderedPlay _play;
    private ulong _requests;

    /// <param name="settings">Changes what <see cref="Calm"/> gives.</param>
    public NamedRun(ulong seed, int nodes = 3, Func<ScenarioSettings, ScenarioSettings>? settings = null, IReadOnlyDictionary<RareBranch, double>? force = null)
    {
        ScenarioSettings calm = Calm(nodes);
        Stage = new SimulationStage(settings?.Invoke(calm) ?? calm, new SeedSource(seed), new SimulationOptions { ForcesRareBranches = false, Force = force });
        Stage.StartAll();
        _play = new OrderedPlay(Stage);
        _play.Begin();
        For(2_000);
    }

    public SimulationStage Stage { get; }

    public SimulatedCluster Cluster => Stage.Cluster;

    public SimulatedNetwork Network => Stage.Cluster.Network;

    public List<SimulatedNode> Nodes => Stage.Cluster.Nodes;

    /// <summary>Operations of the clients in the background that were done.</summary>
    public int Done => _play.Done;

    /// <summary>The highest term that any node has come to.</summary>
    public ulong MaxTerm => Nodes.Max(node => node.Replica?.Term.Value ?? 0);

    /// <summary>Several nodes of one shard, small bounds, no faults but those of the scenario.</summary>
    public static ScenarioSettings Calm(int nodes) => new()
    {
        Mode = new KeyspaceMode(PartitionChoice.Cp, Replication.Sync),
        Nodes = nodes,
        TableBytes = 1 << 20,
        PreloadBytes = 1 << 20,
        Keys = 4,
        Clients = 4,
        OperationsPerClient = int.MaxValue,
        MaxValueBytes = 200,
        MaxThinkUs = 100_000,
        FaultEveryMs = 0,
        Replica = new ReplicaOptions { Raft = new RaftOptions { HeartbeatTicks = 2 }, KeepEntries = 64, CompactStep = 16 },
    };

    public void For(int ms) => Stage.Timeline.RunFor(ms * 1_000L);

    /// <summary>Waits for a leader among these nodes (all, if none are given) and returns it.</summary>
    public SimulatedNode Leader(params SimulatedNode[] among)
    {
        SimulatedNode? leader = null;
        Stage.Demand("somebody leads", () => (leader = LeaderNow(among)) is not null, 15_000_000);
        return leader!;
    }

    /// <summary>All nodes but these, in order.</summary>
    public SimulatedNode[] Others(params SimulatedNode[] than) => [.. Nodes.Except(than)];

    /// <summary>Cuts each of these off from all that are not among them.</summary>
    public void CutOff(params SimulatedNode[] side)
    {
        foreach (SimulatedNode one in side)
        {
            foreach (SimulatedNode other in Others(side))
            {
                Network.CutBoth(one.Index, other.Index);
            }
        }
    }

    /// <summary>Waits for the answer, at most as long as the deadline and a little more. Null: none came.</summary>
    public Completion? Ask(SimulatedNode node, ClientOperation operation, int patienceMs = 1_000)
    {
        Completion? answer = null;
        Begin(node, operation, patienceMs, completion => answer = completion);
        Stage.Timeline.RunUntil(() => answer is not null, (patienceMs + 200) * 1_000L);
        return answer;
    }

    /// <summary>Asks, and calls back with the answer if one comes.</summary>
    public void Begin(SimulatedNode node, ClientOperation operation, int patienceMs, Action<Completion> then)
    {
        operation.DeadlineMs = Stage.Timeline.NowMs + patienceMs;
        Cluster.Submit(node, operation, (_, completion) => then(completion));
    }

    public ClientOperation Put(int key, string value) => new()
    {
        Kind = OperationKind.Put,
        Key = ClientKeys.Bytes(key),
        Value = ClientKeys.Value(value, 10),
        Request = new RequestId(4711, ++_requests, 0),
        Epoch = new Epoch(1),
    };

    public ClientOperation Get(int key) => new() { Kind = OperationKind.Get, Key = ClientKeys.Bytes(key), Epoch = new Epoch(1) };

    /// <summary>Puts at the leader, again and again until it is done.</summary>
    public SimulatedNode PutDone(int key, string value, params SimulatedNode[] among)
    {
        ClientOperation put = Put(key, value);
        SimulatedNode leader = Leader(among);
        for (int attempt = 0; Ask(leader, put) is not { Outcome: Outcome.Done }; attempt++)
        {
            Stage.Require(attempt < 20, $"'{value}' can be put");
            For(100);
            leader = Leader(among);
        }

        return leader;
    }

    /// <summary>Reads at the leader until there is an answer: it must be this value.</summary>
    public void MustRead(int key, string value, params SimulatedNode[] among)
    {
        for (int attempt = 0; ; attempt++)
        {
            if (Ask(Leader(among), Get(key)) is { Outcome: Outcome.Done } answer)
            {
                string? read = answer.Found ? ClientKeys.TextOf(answer.Value) : null;
                Stage.Require(read == value, $"k{key} reads '{value}', and not '{read}'");
                return;
            }

            Stage.Require(attempt < 20, $"k{key} can be read");
            For(100);
        }
    }

    /// <summary>The clients in the background get something done in so much time.</summary>
    public void MustProgress(int ms, int atLeast = 1)
    {
        int before = Done;
        For(ms);
        Stage.Require(Done - before >= atLeast, $"clients do at least {atLeast} operations in {ms} ms ({Done - before} were done)");
    }

    /// <summary>Starts a node that is down and may come up.</summary>
    public void Restart(SimulatedNode node)
    {
        if (!node.IsUp)
        {
            node.Start();
        }
    }

    /// <summary>Faults end, what is pending must end, replicas must be equal and the history right.</summary>
    public void Judge() => _play.HealAndJudge();

    private SimulatedNode? LeaderNow(SimulatedNode[] among) => among.Length == 0 ? Cluster.Leader : among.Where(node => node.Replica?.IsLeader == true).MaxBy(node => node.Replica!.Term);
}
