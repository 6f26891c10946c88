using KvStore.Core.Identity;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>
/// State machine safety and leader completeness (Raft, sections 5.4.3 and 5.4): what one replica has applied at an index, all others apply there, and every later leader has it in its log.
/// </summary>
internal sealed class CommittedEntriesStay(LogsAgree logs)
{
    private const string Name = nameof(CommittedEntriesStay);

    private readonly SortedDictionary<LogIndex, (LoggedEntry Entry, Term SeenIn, NodeId Node)> _committed = [];
    private readonly Dictionary<NodeId, (int Incarnation, LogIndex Applied)> _seen = [];
    private Term _lastLeader;

    /// <summary>The newest index that somebody has applied.</summary>
    public LogIndex Newest { get; private set; }

    /// <summary>Told of each entry when the first replica has applied it.</summary>
    public Action<LogIndex, LoggedEntry> OnCommitted { get; set; } = (_, _) => { };

    /// <summary>Whether somebody has applied there something else than a client's write.</summary>
    public bool IsNoWrite(LogIndex index) => _committed.TryGetValue(index, out (LoggedEntry Entry, Term SeenIn, NodeId Node) known) && known.Entry.Write == 0;

    public void Look(SimulatedNode node, LogIndex applied, Term term, bool leads)
    {
        NodeLog log = logs.Of(node);
        bool known = _seen.TryGetValue(node.Id, out (int Incarnation, LogIndex Applied) seen) && seen.Incarnation == node.Incarnation;
        LogIndex index = known ? seen.Applied : log.Boundary;
        while (index < applied)
        {
            index = index.Next;
            if (log.TryGet(index, out LoggedEntry entry))
            {
                Compare(node, index, entry, term);
            }
        }

        _seen[node.Id] = (node.Incarnation, applied);
        if (leads && term > _lastLeader)
        {
            _lastLeader = term;
            CheckLeader(node, log, term);
        }
    }

    private void Compare(SimulatedNode node, LogIndex index, in LoggedEntry entry, Term term)
    {
        if (_committed.TryGetValue(index, out (LoggedEntry Entry, Term SeenIn, NodeId Node) known))
        {
            if (known.Entry != entry)
            {
                throw new SimulationFailedException(Name, $"At {index}, {node.Id} has applied an entry of {entry.Term}, and {known.Node} had applied another, of {known.Entry.Term}.");
            }

            return;
        }

        _committed.Add(index, (entry, term, node.Id));
        Newest = LogIndex.Max(Newest, index);
        OnCommitted(index, entry);
    }

    /// <summary>Only what was committed in earlier terms: a leader may learn late that it was elected.</summary>
    private void CheckLeader(SimulatedNode node, NodeLog log, Term term)
    {
        foreach ((LogIndex index, (LoggedEntry entry, Term seenIn, NodeId by)) in _committed)
        {
            if (seenIn < term && index > log.Boundary && log.TermAt(index) != entry.Term)
            {
                throw new SimulationFailedException(Name, $"{node.Id} leads in {term} without the entry of {entry.Term} at {index}, which {by} had applied in {seenIn}.");
            }
        }
    }
}
