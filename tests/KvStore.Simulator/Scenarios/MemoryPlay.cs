using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Faults;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Scenarios;

/// <summary>
/// An open shard in memory, often with too little of it: whatever is evicted, and whoever restarts with nothing, in the end all clocks are equal, no replica waits for a copy, and none shows a value that nobody wrote, or one
/// that an acknowledged write which saw it has superseded (unless that write was lost with a process, be it one that was stopped in good order: a restart takes the memory too). With room enough, and if all that a stopped process held was held elsewhere, nothing may be missing anywhere.
/// </summary>
internal static class MemoryPlay
{
    private const long Roomy = 64L * 1_048_576;

    public static ScenarioSettings Adapt(ScenarioSettings drawn, Random random) => drawn with
    {
        MemoryBytes = random.Next(3) switch { 0 => Roomy, 1 => 4_000, _ => 1_500 },
        MaxValueBytes = 200,
        FaultEveryMs = random.Next(3) == 0 ? 0 : drawn.FaultEveryMs,
    };

    public static void Play(SimulationStage stage, IEnumerable<Strike> plan)
    {
        OpenLoad.Run(stage, plan, () => HasConverged(stage));
        var dumps = new OpenDumps(stage.Cluster, stage.Cluster.Nodes);
        stage.Demand("after the heal, every replica answers for every key", () => dumps.AreComplete, 5_000_000);
        stage.Demand("after the heal, nothing is pending", () => stage.Cluster.Nodes.TrueForAll(node => node.Replica?.PendingCount == 0), 10_000_000);
        bool mayLose = stage.Faults.Crashed || stage.Faults.LostMemory;
        bool complete = !mayLose && stage.Settings.MemoryBytes == Roomy;
        for (int node = 0; node < stage.Cluster.Nodes.Count; node++)
        {
            OpenLoad.Judge(
                stage.Recorder.ToHistory(),
                dumps.Values[node],
                fault => (fault == AcknowledgedWriteFault.Lost && !complete) || (fault == AcknowledgedWriteFault.Resurrected && mayLose));
        }
    }

    private static bool HasConverged(SimulationStage stage)
    {
        if (stage.Cluster.Nodes.Any(node => !node.IsUp))
        {
            return false;
        }

        ReplicaStatus first = stage.Cluster.Nodes[0].Replica!.Describe();
        return stage.Cluster.Nodes.TrueForAll(node => node.Replica!.Describe() is { Fenced: "", PeerLag: 0, Open: { IsRecovering: false, IndexedDots: 0 } } status && status.Clock == first.Clock);
    }
}
