using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Network;
using KvStore.Simulator.Scenarios;

namespace KvStore.Simulator.Nodes;

/// <summary>The nodes of a run, the operations that are on their way at them, and what is watched after every step.</summary>
internal sealed class SimulatedCluster
{
    private readonly Dictionary<ulong, (SimulatedNode Node, Action<SimulatedNode, Completion> Then)> _calls = [];
    private readonly StepWatch _watch = new();
    private ulong _lastHandle;

    public SimulatedCluster(ScenarioSettings settings, Timeline timeline, EventTrace trace, SeedSource seeds)
    {
        Settings = settings;
        Timeline = timeline;
        Trace = trace;
        Network = new SimulatedNetwork(timeline, trace, seeds.Next(), settings.Nodes);
        for (int i = 0; i < settings.Nodes; i++)
        {
            Nodes.Add(new SimulatedNode(this, i, seeds.Next()));
        }
    }

    public ScenarioSettings Settings { get; }

    public Timeline Timeline { get; }

    public EventTrace Trace { get; }

    public SimulatedNetwork Network { get; }

    public List<SimulatedNode> Nodes { get; } = [];

    public LostWriteWatch LostWrites { get; } = new();

    public IEnumerable<SimulatedNode> Up => Nodes.Where(node => node.IsUp);

    /// <summary>Called when a node's storage has failed and it has fenced its replica.</summary>
    public Action<SimulatedNode> StorageFailed { get; set; } = _ => { };

    /// <summary>Hands an operation to a node, in its loop. The answer comes at most once; a node that goes down gives none.</summary>
    public void Submit(SimulatedNode node, ClientOperation operation, Action<SimulatedNode, Completion> then)
    {
        ulong handle = ++_lastHandle;
        operation.Handle = handle;
        node.Post("operation " + operation.Kind, replica =>
        {
            _calls.Add(handle, (node, then));
            replica.Submit(operation);
        });
    }

    public void Complete(SimulatedNode node, in Completion completion)
    {
        Trace.Add("answer " + completion.Outcome + " " + completion.Code, node.Index, completion.Handle, completion.OrderedVersion.Value);
        if (!_calls.Remove(completion.Handle, out (SimulatedNode Node, Action<SimulatedNode, Completion> Then) call))
        {
            throw new SimulationFailedException($"{node.Id} answered operation {completion.Handle} twice, or one that it was never given: {completion.Outcome} {completion.Code}.");
        }

        call.Then(node, completion);
    }

    public void AfterStep(SimulatedNode node) => _watch.Look(node, Settings);

    public void OnStorageFailed(SimulatedNode node) => StorageFailed(node);

    public void OnDown(SimulatedNode node)
    {
        foreach (ulong handle in _calls.Where(call => call.Value.Node == node).Select(call => call.Key).ToArray())
        {
            _calls.Remove(handle);
        }
    }
}
