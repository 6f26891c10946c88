using KvStore.Core.Identity;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>While the log writes, replicas that have applied the same entries remember the same requests, whatever open periods and snapshots lie behind them.</summary>
internal sealed class EqualRequests
{
    private readonly Dictionary<LogIndex, (UInt128 Sum, NodeId Node)> _sums = [];
    private readonly Dictionary<NodeId, (int Incarnation, LogIndex Applied)> _last = [];

    public void Look(SimulatedNode node, LogIndex applied, UInt128 sum)
    {
        if (_last.GetValueOrDefault(node.Id) == (node.Incarnation, applied))
        {
            return;
        }

        _last[node.Id] = (node.Incarnation, applied);
        if (!_sums.TryAdd(applied, (sum, node.Id)) && _sums[applied].Sum != sum)
        {
            throw new SimulationFailedException("EqualDedupTables", $"At applied index {applied.Value}, {node.Id} and {_sums[applied].Node} remember different requests.");
        }
    }
}
