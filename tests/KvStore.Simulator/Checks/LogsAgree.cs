using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;

namespace KvStore.Simulator.Checks;

/// <summary>
/// Log matching (Raft, section 5.3): an entry of one index and term is the same wherever it is written or found again, and what stands before it is the same, too.
/// </summary>
internal sealed class LogsAgree
{
    private const string Name = nameof(LogsAgree);

    private readonly Dictionary<(LogIndex Index, Term Term), (ulong Hash, Term Previous, NodeId Node)> _entries = [];
    private readonly Dictionary<NodeId, NodeLog> _logs = [];

    /// <summary>The log of a node as its disk was told it.</summary>
    public NodeLog Of(SimulatedNode node)
    {
        if (!_logs.TryGetValue(node.Id, out NodeLog? log))
        {
            log = new NodeLog();
            _logs.Add(node.Id, log);
        }

        return log;
    }

    /// <summary>A process has started: what it found must be what was written.</summary>
    public void OnStart(SimulatedNode node, RecoveredReplica recovered)
    {
        NodeLog log = Of(node);
        log.Recover(recovered, (index, entry) =>
        {
            // What stands before the view's position may be left from a log that the view has overtaken.
            Term previous = index > recovered.Position.Applied.Next ? log.TermAt(index.Previous) : Term.Zero;
            Compare(node, index, entry, previous);
        });
    }

    public void OnAppend(SimulatedNode node, LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload)
    {
        NodeLog log = Of(node);
        if (kind == LogRecordKind.SnapshotInstalled)
        {
            log.Restart(index, term);
        }
        else if (kind == LogRecordKind.Entry)
        {
            LoggedEntry entry = NodeLog.Describe(term, payload);
            log.Add(index, entry);
            Compare(node, index, entry, log.TermAt(index.Previous));
        }
    }

    private void Compare(SimulatedNode node, LogIndex index, in LoggedEntry entry, Term previous)
    {
        (LogIndex, Term) place = (index, entry.Term);
        if (!_entries.TryGetValue(place, out (ulong Hash, Term Previous, NodeId Node) known))
        {
            _entries.Add(place, (entry.Hash, previous, node.Id));
            return;
        }

        if (known.Hash != entry.Hash)
        {
            throw new SimulationFailedException(Name, $"{node.Id} and {known.Node} hold different entries at {index} of {entry.Term}.");
        }

        if (known.Previous == Term.Zero)
        {
            _entries[place] = known with { Previous = previous };
        }
        else if (previous != Term.Zero && previous != known.Previous)
        {
            throw new SimulationFailedException(Name, $"Before {index} of {entry.Term}, {node.Id} holds an entry of {previous} and {known.Node} one of {known.Previous}.");
        }
    }
}
