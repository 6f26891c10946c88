using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>What a follower does with what its leader sends (Raft, sections 5.3 and 7). The caller has dealt with terms.</summary>
internal sealed class Followership(RaftState state, Quiescence quiescence)
{
    public void OnAppend(in RaftMessage message)
    {
        if (state.Installing is not null)
        {
            // The log stands still while a snapshot takes its place. The leader asks again.
            return;
        }

        if (message.Index < state.Commit)
        {
            Acknowledge(message.From, state.Commit);
            return;
        }

        if (!state.Log.TermAt(message.Index).Is(message.LogTerm))
        {
            Refuse(message);
            return;
        }

        if (!HasNoGap(message))
        {
            return;
        }

        TakeOver(message.Entries.Span);
        LogIndex last = message.Index + (ulong)message.Entries.Length;
        state.CommitUpTo(LogIndex.Min(message.Commit, last));
        Acknowledge(message.From, last);
    }

    public void OnHeartbeat(in RaftMessage message)
    {
        if (state.Installing is null)
        {
            state.CommitUpTo(message.Commit);
        }

        ref RaftMessage answer = ref state.SendNow(RaftMessageKind.HeartbeatResponse, message.From);
        answer.Round = message.Round;
        if (message.Index > LogIndex.Zero && quiescence.Agrees(message))
        {
            answer.Index = message.Index;
        }
    }

    /// <summary>Whether a snapshot would bring this replica forward: a stale one is refused, and so is one that the log has overtaken.</summary>
    public bool WouldAcceptSnapshot(Term term, LogIndex index, Term indexTerm) =>
        term >= state.Term && !state.IsLeader && state.Installing is null && index > state.Commit && !state.Log.TermAt(index).Is(indexTerm);

    /// <summary>
    /// The sender learns what is here already. A snapshot contains nothing but committed entries, so a log that has its last one holds committed entries up to there.
    /// They need not be durable here yet, hence the wait.
    /// </summary>
    public void RefuseSnapshot(ReplicaId from, LogIndex index, Term indexTerm)
    {
        if (state.Installing is null && state.Log.TermAt(index).Is(indexTerm))
        {
            state.CommitUpTo(index);
        }

        Acknowledge(from, state.Commit);
    }

    public void OnSnapshotInstalled(LogIndex index, Term term, ReplicaId from)
    {
        state.Installing = null;
        state.RestartLogAt(index, term);
        Acknowledge(from, index);
    }

    private static bool HasNoGap(in RaftMessage message)
    {
        LogIndex expected = message.Index;
        Term term = message.LogTerm;
        foreach (ref readonly Entry entry in message.Entries.Span)
        {
            expected = expected.Next;
            if (entry.Index != expected || entry.Term < term)
            {
                return false;
            }

            term = entry.Term;
        }

        return term <= message.Term;
    }

    /// <summary>Skips what is here already, so that a late duplicate never shortens the log; replaces the rest from the first conflict on.</summary>
    private void TakeOver(ReadOnlySpan<Entry> entries)
    {
        int skip = 0;
        while (skip < entries.Length && state.Log.TermAt(entries[skip].Index).Is(entries[skip].Term))
        {
            skip++;
        }

        if (skip == entries.Length)
        {
            return;
        }

        if (entries[skip].Index <= state.Log.LastIndex)
        {
            state.TruncateFrom(entries[skip].Index);
        }

        foreach (ref readonly Entry entry in entries[skip..])
        {
            state.Log.Append(entry);
        }
    }

    private void Acknowledge(ReplicaId leader, LogIndex last) => state.SendAfterPersist(RaftMessageKind.AppendResponse, leader).Index = last;

    private void Refuse(in RaftMessage message)
    {
        LogIndex hint = state.Log.LastIndexNotAboveTerm(message.Index.Value == 0 ? message.Index : message.Index.Previous, message.LogTerm);
        TermLookup hintTerm = state.Log.TermAt(hint);
        ref RaftMessage answer = ref state.SendNow(RaftMessageKind.AppendResponse, message.From);
        answer.Index = message.Index;
        answer.Reject = true;
        answer.Hint = hint;
        answer.LogTerm = hintTerm.Outcome == TermOutcome.Known ? hintTerm.Term : Term.Zero;
    }
}
