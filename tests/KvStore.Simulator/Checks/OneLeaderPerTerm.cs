using KvStore.Core.Identity;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>Election safety (Raft, section 5.2). A process that led a term before it was restarted has voted in it, so it must not lead in it again.</summary>
internal sealed class OneLeaderPerTerm
{
    private readonly Dictionary<Term, (NodeId Node, int Incarnation)> _leaders = [];
    private readonly HashSet<Term> _doubled = [];

    /// <param name="node">A leader.</param>
    /// <param name="term">Its term.</param>
    /// <param name="mayVoteTwice">A voter may have lost its disk under its old id, and with it the memory of a vote.</param>
    public void Look(SimulatedNode node, Term term, bool mayVoteTwice)
    {
        (NodeId Node, int Incarnation) leader = (node.Id, node.Incarnation);
        if (_leaders.TryAdd(term, leader) || _leaders[term] == leader)
        {
            return;
        }

        if (!mayVoteTwice)
        {
            throw new SimulationFailedException(
                nameof(OneLeaderPerTerm),
                $"Two leaders in term {term.Value}: {_leaders[term].Node} in its life {_leaders[term].Incarnation}, and {node.Id} in its life {node.Incarnation}.");
        }

        _doubled.Add(term);
    }

    public bool HadTwoIn(Term term) => _doubled.Contains(term);
}
