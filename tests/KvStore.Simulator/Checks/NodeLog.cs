using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Simulator.Checks;

/// <summary>One entry as a replica gave it to its disk.</summary>
/// <param name="Hash">Of the whole payload.</param>
/// <param name="Write">Of what a write does, whoever asked for it and when; zero for other entries.</param>
internal readonly record struct LoggedEntry(Term Term, ulong Hash, uint Write);

/// <summary>The Raft log of one replica as its storage was told it, from some boundary on.</summary>
internal sealed class NodeLog
{
    private readonly List<LoggedEntry> _entries = [];
    private LogIndex _boundary;
    private Term _boundaryTerm;

    /// <summary>The entry before the first one that is known.</summary>
    public LogIndex Boundary => _boundary;

    public LogIndex Last => _boundary + (ulong)_entries.Count;

    public static LoggedEntry Describe(Term term, ReadOnlySpan<byte> payload)
    {
        bool isWrite = payload.Length >= WriteCommand.HeaderLength && payload[0] is 1 or 2;
        ulong hash = ((ulong)payload.Length << 32) | (uint)KeyHash.Of(payload);
        return new LoggedEntry(term, hash, isWrite ? WriteCommand.Decode(payload).PayloadHash : 0);
    }

    /// <summary>A later entry replaces the one with its index and all above; one behind a gap begins anew.</summary>
    public void Add(LogIndex index, in LoggedEntry entry)
    {
        if (index > Last.Next || index <= _boundary)
        {
            Restart(index.Previous, Term.Zero);
        }
        else if (index <= Last)
        {
            int keep = (int)(index - _boundary) - 1;
            _entries.RemoveRange(keep, _entries.Count - keep);
        }

        _entries.Add(entry);
    }

    public void Restart(LogIndex boundary, Term term)
    {
        _entries.Clear();
        _boundary = boundary;
        _boundaryTerm = term;
    }

    public bool TryGet(LogIndex index, out LoggedEntry entry)
    {
        if (index <= _boundary || index > Last)
        {
            entry = default;
            return false;
        }

        entry = _entries[(int)(index - _boundary) - 1];
        return true;
    }

    /// <summary>The term of the entry at an index; zero where it is not known.</summary>
    public Term TermAt(LogIndex index) => index == _boundary ? _boundaryTerm : TryGet(index, out LoggedEntry entry) ? entry.Term : Term.Zero;

    /// <summary>What a process finds when it starts, cut to what a replica can use of it.</summary>
    public void Recover(RecoveredReplica recovered, Action<LogIndex, LoggedEntry> onEntry)
    {
        Restart(LogIndex.Zero, Term.Zero);
        LogIndex snapshot = LogIndex.Zero;
        foreach (RecoveredRecord record in recovered.Records)
        {
            if (record.Kind == LogRecordKind.SnapshotInstalled && record.Index != snapshot)
            {
                snapshot = record.Index;
                Restart(record.Index, record.Term);
            }
            else if (record.Kind == LogRecordKind.Entry)
            {
                LoggedEntry entry = Describe(record.Term, record.Payload.Span);
                Add(record.Index, entry);
                onEntry(record.Index, entry);
            }
        }

        ViewPosition position = recovered.Position;
        Term atApplied = TermAt(position.Applied);
        if (Last < position.Applied || (atApplied != Term.Zero && atApplied != position.AppliedTerm))
        {
            Restart(position.Applied, position.AppliedTerm);
        }
    }
}
