using KvStore.Core.Identity;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>Election safety (Raft, section 5.2).</summary>
internal sealed class OneLeaderPerTerm
{
    private readonly Dictionary<Term, NodeId> _leaders = [];

    public void Look(SimulatedNode node, Term term)
    {
        if (!_leaders.TryAdd(term, node.Id) && _leaders[term] != node.Id)
        {
            throw new SimulationFailedException(nameof(OneLeaderPerTerm), $"Two leaders in term {term.Value}: {_leaders[term]} and {node.Id}.");
        }
    }
}
