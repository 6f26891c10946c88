using KvStore.Core.Identity;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>Election safety (Raft, section 5.2). A process that led a term before it was restarted has voted in it, so it must not lead in it again.</summary>
internal sealed class OneLeaderPerTerm
{
    private readonly Dictionary<Term, (NodeId Node, int Incarnation)> _leaders = [];

    public void Look(SimulatedNode node, Term term)
    {
        (NodeId Node, int Incarnation) leader = (node.Id, node.Incarnation);
        if (!_leaders.TryAdd(term, leader) && _leaders[term] != leader)
        {
            throw new SimulationFailedException(
                nameof(OneLeaderPerTerm),
                $"Two leaders in term {term.Value}: {_leaders[term].Node} in its life {_leaders[term].Incarnation}, and {node.Id} in its life {node.Incarnation}.");
        }
    }
}
