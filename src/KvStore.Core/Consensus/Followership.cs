using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>What a follower does with what its leader sends (Raft, sections 5.3 and 7). The caller has dealt with terms.</summary>
internal sealed class Followership(RaftState state)
{
    public void OnAppend(in RaftMessage message)
    {
        if (state.Installing is not null)
        {
            // The log stands still while a snapshot takes its place. The leader asks again.
            return;
        }

        if (!state.Quarantine.Accepts(message))
        {
            state.Quarantine.Tell(message.From);
            return;
        }

        if (message.Index < state.Commit)
        {
            OnMatched(message, state.Commit);
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
        OnMatched(message, last);
    }

    public void OnHeartbeat(in RaftMessage message)
    {
        if (state.Quarantine.IsActive)
        {
            state.Quarantine.Tell(message.From);
            return;
        }

        if (state.Installing is null)
        {
            state.CommitUpTo(message.Commit);
        }

        state.SendNow(RaftMessageKind.HeartbeatResponse, message.From).Round = message.Round;
    }

    /// <summary>Sends a read on to the leader.</summary>
    public ReadResult Read(ulong context)
    {
        if (state.Leader.IsNone || state.Quarantine.IsActive)
        {
            return ReadResult.NotLeader;
        }

        ulong number = state.Forwarded.Add(context, state.Now);
        if (number == 0)
        {
            return ReadResult.Overloaded;
        }

        state.SendNow(RaftMessageKind.ReadIndex, state.Leader).Round = number;
        return ReadResult.Accepted;
    }

    public void OnReadIndexResponse(in RaftMessage message)
    {
        if (message.From != state.Leader || !state.Forwarded.TryTake(message.Round, out ulong context))
        {
            return;
        }

        if (state.Installing is null && !message.Reject)
        {
            // The read needn't wait for a heartbeat to say that what is here is committed.
            state.CommitUpTo(message.Commit);
        }

        state.Out.Reads.Add(new ReadState(context, message.Reject ? default : message.Index, message.Reject));
    }

    public void Tick()
    {
        ulong patience = (ulong)state.Options.ElectionTicksMax;
        if (state.Now > patience)
        {
            state.Forwarded.AbortBefore(state.Now - patience, state.Out.Reads);
        }
    }

    /// <summary>Whether a snapshot would bring this replica forward: a stale one is refused, and so is one that the log has overtaken.</summary>
    public bool WouldAcceptSnapshot(Term term, LogIndex index, Term indexTerm) =>
        term >= state.Term && !state.IsLeader && state.Installing is null && (state.Quarantine.LogIsVoid
            ? index >= state.Commit
            : index > state.Commit && !state.Log.TermAt(index).Is(indexTerm));

    /// <summary>
    /// The sender learns what is here already. A snapshot contains nothing but committed entries, so a log that has its last one holds committed entries up to there.
    /// They need not be durable here yet, hence the wait.
    /// </summary>
    public void RefuseSnapshot(ReplicaId from, LogIndex index, Term indexTerm)
    {
        if (state.Quarantine.LogIsVoid)
        {
            state.Quarantine.Tell(from);
            return;
        }

        if (state.Installing is null && state.Log.TermAt(index).Is(indexTerm))
        {
            state.CommitUpTo(index);
        }

        Acknowledge(from, state.Commit, state.Quarantine.Repair);
    }

    public void OnSnapshotInstalled(LogIndex index, Term term, ReplicaId from)
    {
        state.Installing = null;
        state.RestartLogAt(index, term);
        state.Quarantine.OnSnapshotInstalled();
        Acknowledge(from, index, state.Quarantine.Repair);
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

    /// <summary>The log equals the leader's up to <paramref name="last"/>.</summary>
    private void OnMatched(in RaftMessage append, LogIndex last)
    {
        state.Quarantine.OnMatched(last, append);
        Acknowledge(append.From, last, append.Round);
    }

    private void Acknowledge(ReplicaId leader, LogIndex last, ulong repair)
    {
        ref RaftMessage answer = ref state.SendAfterPersist(RaftMessageKind.AppendResponse, leader);
        answer.Index = last;
        answer.Round = repair;
    }

    private void Refuse(in RaftMessage message)
    {
        LogIndex hint = state.Log.LastIndexNotAboveTerm(message.Index.Value == 0 ? message.Index : message.Index.Previous, message.LogTerm);
        TermLookup hintTerm = state.Log.TermAt(hint);
        ref RaftMessage answer = ref state.SendNow(RaftMessageKind.AppendResponse, message.From);
        answer.Index = message.Index;
        answer.Reject = true;
        answer.Round = message.Round;
        answer.Hint = hint;
        answer.LogTerm = hintTerm.Outcome == TermOutcome.Known ? hintTerm.Term : Term.Zero;
    }
}
