using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Network;

namespace KvStore.Simulator.Faults;

/// <summary>What faults of the network strike: the nodes of one shard, or of a whole cluster.</summary>
internal interface IFaultGround
{
    Timeline Timeline { get; }

    EventTrace Trace { get; }

    SimulatedNetwork Network { get; }

    int NodeCount { get; }

    /// <summary>The node that leads, where one is that matters more than the others.</summary>
    int? LeaderIndex { get; }

    ReplicaOptions Replica { get; }
}
