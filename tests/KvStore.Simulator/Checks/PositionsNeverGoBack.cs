using KvStore.Core.Identity;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>While a process lives, its term and its applied index only grow.</summary>
internal sealed class PositionsNeverGoBack
{
    private readonly Dictionary<NodeId, (int Incarnation, LogIndex Applied, Term Term)> _last = [];

    /// <summary>Returns whether the applied index has moved since the last look at this process, or it is the first one.</summary>
    public bool Look(SimulatedNode node, LogIndex applied, Term term)
    {
        bool known = _last.TryGetValue(node.Id, out (int Incarnation, LogIndex Applied, Term Term) last) && last.Incarnation == node.Incarnation;
        if (known && (last.Term > term || last.Applied > applied))
        {
            throw new SimulationFailedException(
                nameof(PositionsNeverGoBack), $"{node.Id} went back from {last.Term}, applied {last.Applied}, to {term}, applied {applied}.");
        }

        _last[node.Id] = (node.Incarnation, applied, term);
        return !known || last.Applied != applied;
    }
}
