using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>An epoch means the same to all replicas, and no process goes back to an earlier one.</summary>
internal sealed class RegimesAgree
{
    private readonly Dictionary<Epoch, (ShardRegime Regime, NodeId Node)> _regimes = [];
    private readonly Dictionary<NodeId, (int Incarnation, Epoch Epoch)> _last = [];

    /// <summary>The newest epoch that any replica has reached.</summary>
    public Epoch Newest { get; private set; } = new(1);

    /// <summary>None: no replica was seen in it.</summary>
    public RegimeKind KindOf(Epoch epoch) => _regimes.TryGetValue(epoch, out (ShardRegime Regime, NodeId Node) known) ? known.Regime.Kind : default;

    public void Look(SimulatedNode node)
    {
        ShardRegime regime = node.Replica!.CurrentRegime;
        if (_last.TryGetValue(node.Id, out (int Incarnation, Epoch Epoch) last) && last.Incarnation == node.Incarnation)
        {
            if (last.Epoch == regime.Epoch)
            {
                return;
            }

            if (last.Epoch > regime.Epoch)
            {
                throw new SimulationFailedException(nameof(RegimesAgree), $"{node.Id} went back from {last.Epoch} to {regime.Epoch}.");
            }
        }

        _last[node.Id] = (node.Incarnation, regime.Epoch);
        if (!_regimes.TryAdd(regime.Epoch, (regime, node.Id)) && _regimes[regime.Epoch].Regime != regime)
        {
            throw new SimulationFailedException(nameof(RegimesAgree), $"{node.Id} is {regime}, and {_regimes[regime.Epoch].Node} was {_regimes[regime.Epoch].Regime}.");
        }

        Newest = regime.Epoch > Newest ? regime.Epoch : Newest;
    }
}
