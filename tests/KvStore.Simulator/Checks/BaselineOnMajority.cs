using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>
/// The log takes over only from data that a majority holds (C2): when the first replica of a closing shard becomes ordered, a majority of them had its clock when they were looked at last. Without this check an order that
/// comes too early would show only where the replica that gave it never comes back.
/// </summary>
internal sealed class BaselineOnMajority
{
    private readonly Dictionary<NodeId, (Epoch Epoch, string Clock)> _closing = [];
    private readonly HashSet<Epoch> _judged = [];

    public void Look(SimulatedNode node, int nodes)
    {
        ShardRegime regime = node.Replica!.CurrentRegime;
        if (regime.Kind == RegimeKind.Closing)
        {
            _closing[node.Id] = (regime.Epoch, node.Replica.Describe().Clock);
            return;
        }

        // A mode may change in the same step; then it is not known any more which closing this was.
        if (regime.Kind != RegimeKind.Ordered || !_closing.Remove(node.Id, out (Epoch Epoch, string Clock) last) || regime.Epoch.Value != last.Epoch.Value + 1 || !_judged.Add(last.Epoch))
        {
            return;
        }

        int holders = 1 + _closing.Values.Count(other => other == last);
        if (holders < PartitionPolicy.Majority(nodes))
        {
            throw new SimulationFailedException(
                nameof(BaselineOnMajority), $"{node.Id} is ordered in epoch {regime.Epoch.Value} from a baseline that {holders} of {nodes} replicas held: {last.Clock}.");
        }
    }
}
