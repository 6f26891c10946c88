using KvStore.Simulator.Engine;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Clusters;

/// <summary>What the workers of a run share: one history for each keyspace.</summary>
internal sealed class ClusterContext
{
    /// <summary>Ends the recorded client name of a read that asked a majority.</summary>
    public const string QuorumMark = "/quorum";

    private readonly Dictionary<uint, HistoryRecorder> _recorders = [];

    public ClusterContext(World world)
    {
        World = world;
        foreach (KeyspaceSettings keyspace in world.Settings.Keyspaces)
        {
            _recorders.Add(keyspace.Id, new HistoryRecorder(new VirtualTime(world.Timeline)));
        }
    }

    public World World { get; }

    /// <summary>Open writes that a single replica has acknowledged, by keyspace and order of invocation: a quorum read need not know them.</summary>
    public HashSet<(uint Keyspace, long InvokeOrder)> ThinWrites { get; } = [];

    /// <summary>No worker begins anything new.</summary>
    public bool Stopping { get; set; }

    public HistoryRecorder Recorder(KeyspaceSettings keyspace) => _recorders[keyspace.Id];
}
