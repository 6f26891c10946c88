using KvStore.Simulator.Checks;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Clients;

/// <summary>What the clients of a run share.</summary>
/// <param name="Cluster">The nodes they talk to.</param>
/// <param name="Recorder">Where they write down what they saw.</param>
/// <param name="Answers">Watches single answers.</param>
internal sealed record ClientContext(SimulatedCluster Cluster, HistoryRecorder Recorder, AnswerWatch Answers)
{
    /// <summary>Writes that a single replica has acknowledged, by their order of invocation: a quorum read need not know them.</summary>
    public HashSet<long> ThinWrites { get; } = [];

    /// <summary>Which replica has acknowledged which write.</summary>
    public ServedWrites Served { get; } = new();

    /// <summary>No client begins anything new.</summary>
    public bool Stopping { get; set; }

    public Timeline Timeline => Cluster.Timeline;

    /// <summary>Ends the recorded client name of a read that asked a majority.</summary>
    public const string QuorumMark = "/quorum";

    /// <summary>Share of requests and of answers that get lost between client and node.</summary>
    public double Loss { get; set; } = 0.01;

    /// <summary>Any node that has a replica, in the shard or not. One without would not answer, where a real node says or asks who has the shard.</summary>
    public SimulatedNode AnyNode(Random random)
    {
        List<SimulatedNode> nodes = [.. Cluster.Nodes.Where(node => !node.ReplicaId.IsNone)];
        return nodes[random.Next(nodes.Count)];
    }
}
