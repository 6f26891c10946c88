using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Network;
using KvStore.Simulator.Planted;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Nodes;

/// <summary>The nodes of a run, the operations that are on their way at them, and what is watched after every step.</summary>
internal sealed class SimulatedCluster : IFaultGround
{
    private readonly Dictionary<ulong, (SimulatedNode Node, Action<SimulatedNode, Completion> Then)> _calls = [];
    private ulong _lastHandle;

    public SimulatedCluster(ScenarioSettings settings, Timeline timeline, EventTrace trace, RareBranches rare, SeedSource seeds)
    {
        Settings = settings;
        Timeline = timeline;
        Trace = trace;
        Rare = rare;
        Network = new SimulatedNetwork(timeline, trace, seeds.Next(), settings.Nodes);
        for (int i = 0; i < settings.Nodes; i++)
        {
            Nodes.Add(new SimulatedNode(this, i, seeds.Next()));
        }
    }

    public ScenarioSettings Settings { get; }

    public Timeline Timeline { get; }

    public EventTrace Trace { get; }

    /// <summary>The rare branches that this run forces.</summary>
    public RareBranches Rare { get; }

    public SimulatedNetwork Network { get; }

    public List<SimulatedNode> Nodes { get; } = [];

    /// <summary>What is watched after every step.</summary>
    public StepWatch Watch { get; } = new();

    /// <summary>The bug that this run has, if it has one.</summary>
    public PlantedBug Planted { get; init; } = new NoBug();

    public IEnumerable<SimulatedNode> Up => Nodes.Where(node => node.IsUp);

    /// <summary>Whether a node has a member of the shard, where that changes.</summary>
    public Func<SimulatedNode, bool> IsMember { get; set; } = _ => true;

    /// <summary>Nodes of members that are there, or may come back: all but those that refuse to start on what is left of their disk.</summary>
    public IReadOnlyList<SimulatedNode> Usable => [.. Nodes.Where(node => node.RefusesToStart is null && IsMember(node))];

    /// <summary>The node that leads in the highest term, if any does.</summary>
    public SimulatedNode? Leader => Nodes.Where(node => node.Replica?.IsLeader == true).MaxBy(node => node.Replica!.Term);

    int IFaultGround.NodeCount => Nodes.Count;

    int? IFaultGround.LeaderIndex => Leader?.Index;

    ReplicaOptions IFaultGround.Replica => Settings.Replica;

    /// <summary>Called when a node's storage has failed and it has fenced its replica.</summary>
    public Action<SimulatedNode> StorageFailed { get; set; } = _ => { };

    /// <summary>Called when a node has fenced its replica because it heard of two leaders of one term, which is right where a vote may be forgotten. It serves again when it is restarted.</summary>
    public Action<SimulatedNode> FencedByTwoLeaders { get; set; } = _ => { };

    /// <summary>Called when a rare branch wants a node to lose its power where it hurts.</summary>
    public Action<SimulatedNode> CrashSoon { get; set; } = _ => { };

    /// <summary>
    /// Hands an operation to a node, in its loop. The deadline is in true time. The answer comes at most once; a node that goes down gives none.
    /// </summary>
    public void Submit(SimulatedNode node, ClientOperation operation, Action<SimulatedNode, Completion> then)
    {
        ulong handle = ++_lastHandle;
        operation.Handle = handle;
        node.Post("operation", replica =>
        {
            _calls.Add(handle, (node, then));
            if (operation.Kind == OperationKind.Put && node.IsDiskLow)
            {
                // As the shard loop does, before the replica sees it.
                Rare.Meet(RareBranch.SeenDiskLow);
                Complete(node, new Completion { Handle = handle, Outcome = Outcome.NotDone, Code = RefusalCode.DiskLow });
                return;
            }

            operation.DeadlineMs = node.Clock.ToLocalMs(operation.DeadlineMs);
            Planted.Submit(node, ref operation);
            replica.Submit(operation);
        });
    }

    /// <summary>Asks a node's replica for something else than an operation of a client; the node's own time comes along.</summary>
    public void Ask(SimulatedNode node, string what, Action<ShardReplica, ulong, long> ask, Action<SimulatedNode, Completion> then)
    {
        ulong handle = ++_lastHandle;
        node.Post(what, replica =>
        {
            _calls.Add(handle, (node, then));
            ask(replica, handle, node.Clock.ToLocalMs(Timeline.NowMs));
        });
    }

    public void Complete(SimulatedNode node, in Completion completion)
    {
        Trace.Add("answer", node.Index, completion.Handle, ((ulong)completion.Outcome << 56) | ((ulong)completion.Code << 48) | completion.OrderedVersion.Value);
        if (!_calls.Remove(completion.Handle, out (SimulatedNode Node, Action<SimulatedNode, Completion> Then) call))
        {
            throw new SimulationFailedException(SimulationFailedException.Answers, $"{node.Id} answered operation {completion.Handle} twice, or one that it was never given: {completion.Outcome} {completion.Code}.");
        }

        NoteAnswer(node, completion);
        call.Then(node, completion);
    }

    public void AfterStep(SimulatedNode node) => Watch.Look(node, Settings);

    public void OnStorageFailed(SimulatedNode node) => StorageFailed(node);

    public void OnDown(SimulatedNode node)
    {
        foreach (ulong handle in _calls.Where(call => call.Value.Node == node).Select(call => call.Key).ToArray())
        {
            _calls.Remove(handle);
        }
    }

    private void NoteAnswer(SimulatedNode node, in Completion completion)
    {
        if (completion.Outcome == Outcome.Done && Rare.Hits(RareBranch.CrashAfterAnswer))
        {
            CrashSoon(node);
        }

        switch (completion.Code)
        {
            case RefusalCode.Overloaded:
                Rare.Meet(RareBranch.SeenOverloaded);
                break;
            case RefusalCode.LeadershipLost:
                Rare.Meet(RareBranch.SeenLeadershipLost);
                break;
            case RefusalCode.ConditionFailed:
                Rare.Meet(RareBranch.SeenConditionFailed);
                break;
        }
    }
}
