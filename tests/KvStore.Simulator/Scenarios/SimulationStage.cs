using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Faults;
using KvStore.Simulator.Nodes;
using KvStore.Simulator.Planted;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Scenarios;

/// <summary>All that a run stands on: time, chance, the cluster, what strikes it, and the record of what clients saw.</summary>
internal sealed class SimulationStage
{
    public SimulationStage(ScenarioSettings settings, SeedSource seeds, SimulationOptions options)
    {
        Settings = settings;
        Seeds = seeds;
        Trace = new EventTrace(Timeline, options.Lines);
        Rare = new RareBranches(seeds.Next(), options.ForcesRareBranches, options.Force);
        foreach (RareBranch bound in settings.Tight)
        {
            Rare.Meet(bound);
        }

        Cluster = new SimulatedCluster(settings, Timeline, Trace, Rare, seeds) { Planted = options.Planted ?? new NoBug() };
        Cluster.Planted.Begin(Cluster, new Random((int)seeds.Seed));
        Faults = new FaultDriver(Cluster, seeds.Next());
        Recorder = new HistoryRecorder(new VirtualTime(Timeline));
    }

    public ScenarioSettings Settings { get; }

    public SeedSource Seeds { get; }

    public Timeline Timeline { get; } = new();

    public EventTrace Trace { get; }

    public RareBranches Rare { get; }

    public SimulatedCluster Cluster { get; }

    public FaultDriver Faults { get; }

    public HistoryRecorder Recorder { get; }

    public void StartAll()
    {
        foreach (SimulatedNode node in Cluster.Nodes)
        {
            node.Start();
        }
    }

    /// <summary>Lets time pass until the condition holds; if that takes too long the run has failed.</summary>
    public void Demand(string what, Func<bool> condition, long withinUs)
    {
        if (!Timeline.RunUntil(condition, withinUs))
        {
            throw new SimulationFailedException(SimulationFailedException.Progress, $"Not within {withinUs / 1_000_000.0:0.#} s: {what}.{Environment.NewLine}{Describe()}");
        }
    }

    /// <summary>The run has failed unless this holds now.</summary>
    public void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new SimulationFailedException("Requirement", $"It does not hold that {what}.{Environment.NewLine}{Describe()}");
        }
    }

    /// <summary>What the replicas say of themselves.</summary>
    public string Describe() => string.Join(Environment.NewLine, Cluster.Nodes.Select(Describe));

    private static string Describe(SimulatedNode node)
    {
        if (node.Replica is not { } replica)
        {
            return node.ReplicaId.IsNone ? $"{node.Id} has no replica" : $"{node.Id} is down. {node.RefusesToStart}";
        }

        ReplicaStatus status = replica.Describe();
        return $"{node.Id} {status.Role} term {status.Term.Value} leader {status.Leader} commit {status.Commit.Value} applied {status.Applied.Value} last {status.LastIndex.Value} "
            + $"members {string.Join(' ', status.Members.Select(member => $"{member.Place}{(member.IsVoter ? "" : member.IsLearner ? " learns" : " leaves")}"))} "
            + $"{status.Current}{(status.Switch.IsLate ? " late" : "")}{(status.Switch.IsOpening ? " opening" : "")} reported {string.Join(' ', status.Switch.Reported)} holders {string.Join(' ', status.Switch.Holders)} overlay {status.OverlayKeys} "
            + $"data {replica.CaptureDigests()?.ToString() ?? "?"} pending {replica.PendingCount} clock {status.Clock} lag {status.PeerLag} {status.Open} {status.Fenced}";
    }
}
