using System.Threading.Tasks.Sources;
using KvStore.Client;
using KvStore.Client.Operations;
using KvStore.Client.Routing;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Clusters;

/// <summary>
/// The production client from the call to the outcome (request window, routing, retries, deadlines, folding of outcomes) on simulated streams, in virtual time. It sits beside one of the nodes: what cuts that node
/// off from another cuts the client off, too.
/// </summary>
internal sealed class ClusterClient
{
    private const int SilentLooks = 10;

    private readonly List<(KvOperation Operation, short Version, Action<RecordedOutcome, WireResult, int> Then)> _underWay = [];
    private readonly Dispatcher _dispatcher;
    private int _watched;
    private int _silent;
    private (int Incarnation, long Version) _heard;

    public ClusterClient(World world, int number, ClusterNode home, Random dice)
    {
        World = world;
        Number = number;
        Home = home;
        Dice = dice;
        _watched = home.Index;
        Options = new KvClientOptions { AttemptTimeout = TimeSpan.FromMilliseconds(world.Settings.AttemptTimeoutMs) };
        Options.Endpoints.Add("http://node1:1");
        _dispatcher = new Dispatcher(Options, new VirtualTimers(world.Timeline, Look), dice, (owner, dispatcher) => new ClientStream(this, owner, dispatcher, world.Nodes[(int)owner.Node - 1]));
        _dispatcher.TopologyDoubted = Doubt;
        PlanWatch();
    }

    public World World { get; }

    public int Number { get; }

    public ClusterNode Home { get; }

    public Random Dice { get; }

    public KvClientOptions Options { get; }

    public bool IsCutFrom(ClusterNode node) => node != Home && (World.Network.IsCut(Home.Index, node.Index) || World.Network.IsCut(node.Index, Home.Index));

    /// <summary>Begins an operation. Its end is told once, with the number of attempts, or never before its deadline.</summary>
    public void Begin(string keyspace, in WireOperation wire, int timeoutMs, bool patient, Action<RecordedOutcome, WireResult, int> then)
    {
        KvOperation operation = _dispatcher.Pool.Rent();
        operation.Keyspace = keyspace;
        operation.Token = CancellationToken.None;
        operation.RetryNoQuorumUntilDeadline = patient;
        operation.StartedMs = _dispatcher.Clock.NowMs;
        operation.DeadlineMs = operation.StartedMs + timeoutMs;
        operation.Wire = wire;
        operation.IsConditional = wire.Condition is WriteCondition.IfAbsent or WriteCondition.IfVersion || wire.Kind == OperationKind.Transaction;
        _underWay.Add((operation, operation.Version, then));
        _dispatcher.Start(operation);
        Look();
    }

    /// <summary>Looks which operations have ended. Called whenever something may have ended one.</summary>
    public void Look()
    {
        for (int i = 0; i < _underWay.Count; i++)
        {
            (KvOperation operation, short version, Action<RecordedOutcome, WireResult, int> then) = _underWay[i];
            if (operation.GetStatus(version) == ValueTaskSourceStatus.Pending)
            {
                continue;
            }

            _underWay.RemoveAt(i--);
            int attempts = operation.Attempts;
            try
            {
                WireResult answer = ((IValueTaskSource<WireResult>)operation).GetResult(version);
                then(answer.Outcome switch { Outcome.Done => RecordedOutcome.Done, Outcome.NotDone => RecordedOutcome.NotDone, _ => RecordedOutcome.Unknown }, answer, attempts);
            }
            catch (KvException refused)
            {
                then(refused.OutcomeUnknown ? RecordedOutcome.Unknown : RecordedOutcome.NotDone, new WireResult { Code = (Code)refused.Code, Reason = refused.Message }, attempts);
            }
        }
    }

    private void PlanWatch() => World.Timeline.After(Dice.Next(10_000, 60_000), () =>
    {
        Watch();
        PlanWatch();
    });

    /// <summary>In the place of the topology stream: what a node would push is fetched when it has changed.</summary>
    private void Watch()
    {
        ClusterNode node = World.Nodes[_watched];
        if (!node.IsUp || node.IsPaused || IsCutFrom(node))
        {
            if (++_silent > SilentLooks)
            {
                WatchAnother();
            }

            return;
        }

        _silent = 0;
        (int, long) known = (node.Incarnation, node.Topology!.Version);
        if (known != _heard && ClusterMap.Advance(_dispatcher.Map, node.Topology.Current()) is { } map)
        {
            _heard = known;
            _dispatcher.Learn(map);
            Look();
        }
    }

    private void Doubt(uint node)
    {
        if (node == World.Nodes[_watched].Id.Value)
        {
            WatchAnother();
        }
    }

    private void WatchAnother()
    {
        _watched = (_watched + 1) % World.Nodes.Count;
        _silent = 0;
        _heard = default;
    }
}
