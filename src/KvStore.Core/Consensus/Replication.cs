using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// Brings the leader's log to the followers: finds where the logs meet, keeps a bounded window of appends in flight, asks for a snapshot when the log is too short.
/// </summary>
internal sealed class Replication(RaftState state, ProgressTracker progress)
{
    /// <summary>Whether a pass over the followers may find something to send.</summary>
    public bool HasWork { get; private set; }

    public void OnAppended() => HasWork = true;

    public void OnCommitted() => HasWork = true;

    public void Stop() => HasWork = false;

    public void Tick()
    {
        foreach (Progress member in progress.Members)
        {
            bool unanswered = member.State == ProgressState.Snapshot && member.SnapshotSentAtTick != 0
                && state.Now - member.SnapshotSentAtTick >= (ulong)state.Options.SnapshotAnswerTicks;
            if (unanswered)
            {
                member.BecomeProbe();
                HasWork = true;
            }
        }
    }

    /// <summary>Sends to the follower even if it was waited for.</summary>
    public void Wake(Progress member)
    {
        member.ProbeOut = false;
        member.AppendWanted = true;
        HasWork = true;
    }

    /// <summary>Returns whether the follower's match has moved.</summary>
    public bool OnAppendResponse(in RaftMessage message)
    {
        Progress? member = Heard(message.From);
        if (member is null)
        {
            return false;
        }

        if (member.Repair != 0 && message.Round != member.Repair)
        {
            // From before the damage: it is no longer true.
            return false;
        }

        if (message.Reject)
        {
            OnRejected(member, message);
            return false;
        }

        Invariant.Assert(message.Index <= state.Log.LastIndex);
        bool advanced = member.TryAdvance(message.Index);
        member.EndRepairIfWhole();
        bool logsMeet = advanced || member.Match == message.Index;
        switch (member.State)
        {
            case ProgressState.Probe when logsMeet:
            case ProgressState.Snapshot when advanced && (member.Match >= state.Log.BoundaryIndex || member.HasInstalledSnapshot):
                member.BecomeReplicate();
                break;
            case ProgressState.Replicate:
                member.Inflights.FreeUpTo(message.Index);
                break;
            default:
                break;
        }

        HasWork |= member.Next <= state.Log.LastIndex || (!state.Options.TellCommitWithHeartbeats && member.CommitTold < state.Commit);
        return advanced;
    }

    /// <summary>The member's log was found damaged.</summary>
    public void OnDamaged(in RaftMessage message)
    {
        if (Heard(message.From) is not { } member || (message.Round == member.Repaired && message.Reject))
        {
            // Nobody's, or a late duplicate from before a repair that is done.
            return;
        }

        if (message.Round == member.Repaired)
        {
            member.ResumeRepair();
        }
        else if (message.Round != member.Repair)
        {
            member.BeginRepair(message.Round, state.Log.LastIndex);
        }

        if (!message.Reject)
        {
            Wake(member);
        }
        else if (member.State != ProgressState.Snapshot)
        {
            AskForSnapshot(member);
        }
    }

    public Progress? OnHeartbeatResponse(in RaftMessage message)
    {
        Progress? member = Heard(message.From);
        if (member is null)
        {
            return null;
        }

        member.ProbeOut = false;
        if (member.State == ProgressState.Replicate && member.Inflights.IsFull)
        {
            member.Inflights.FreeFirst();
        }

        // An append or its answer may have been lost with nothing behind it: an empty append finds out.
        if (member.State != ProgressState.Snapshot && (member.Match < state.Log.LastIndex || member.State == ProgressState.Probe))
        {
            member.AppendWanted = true;
            HasWork = true;
        }

        return member;
    }

    public void ReportSnapshot(ReplicaId to, LogIndex index, bool sent)
    {
        Progress? member = progress.Find(to);
        if (member is null || member.State != ProgressState.Snapshot)
        {
            return;
        }

        if (sent)
        {
            member.OnSnapshotSent(index, state.Now);
            return;
        }

        // Not at once again: the next heartbeat's answer shows that the follower is there.
        member.BecomeProbe();
        member.ProbeOut = true;
    }

    /// <summary>
    /// A configuration is in force: whoever it doesn't name is told a last time what is committed, so that it can learn of its removal, and no snapshot is sent to it.
    /// </summary>
    public void Dismiss()
    {
        foreach (Progress member in progress.Members)
        {
            if (member.Id != state.Self && !state.Members.IsMember(member.Id))
            {
                SendHeartbeat(member, round: 0);
                state.Out.Snapshots.Remove(member.Id);
            }
        }
    }

    public void SendHeartbeats(ulong round)
    {
        foreach (Progress member in progress.Members)
        {
            if (member.Id != state.Self)
            {
                SendHeartbeat(member, round);
            }
        }
    }

    public void Flush()
    {
        if (!HasWork)
        {
            return;
        }

        HasWork = false;
        foreach (Progress member in progress.Members)
        {
            if (member.Id != state.Self)
            {
                FlushTo(member);
            }
        }
    }

    private void SendHeartbeat(Progress member, ulong round)
    {
        // Never above what the follower is known to have: it may hold something else there.
        ref RaftMessage message = ref state.SendNow(RaftMessageKind.Heartbeat, member.Id);
        message.Commit = LogIndex.Min(state.Commit, member.Match);
        message.Round = round;
    }

    private Progress? Heard(ReplicaId from)
    {
        Progress? member = progress.Find(from);
        if (member is not null)
        {
            member.HeardAtTick = state.Now;
        }

        return member;
    }

    private void OnRejected(Progress member, in RaftMessage message)
    {
        // The follower named its last entry that could match; skip what of the own log can't match that one.
        LogIndex hint = message.LogTerm == Term.Zero ? message.Hint : state.Log.LastIndexNotAboveTerm(message.Hint, message.LogTerm);
        if (member.TryRetreat(message.Index, hint))
        {
            member.AppendWanted = true;
            HasWork = true;
        }
    }

    private void FlushTo(Progress member)
    {
        bool wanted = member.AppendWanted;
        member.AppendWanted = false;
        while (!member.IsPaused)
        {
            bool tellCommit = !state.Options.TellCommitWithHeartbeats && member.State == ProgressState.Replicate && member.CommitTold < LogIndex.Min(state.Commit, member.Next.Previous);
            if (member.Next > state.Log.LastIndex && !wanted && !tellCommit)
            {
                return;
            }

            wanted = false;
            if (!TrySendAppend(member))
            {
                return;
            }
        }
    }

    private bool TrySendAppend(Progress member)
    {
        LogIndex previous = member.Next.Previous;
        TermLookup term = state.Log.TermAt(previous);
        Invariant.Assert(term.Outcome != TermOutcome.Unavailable);
        if (term.Outcome == TermOutcome.Compacted)
        {
            AskForSnapshot(member);
            return false;
        }

        ReadOnlyMemory<Entry> entries = state.Log.SliceOfBytes(member.Next, state.Log.LastIndex, state.Options.MaxAppendBytes, out int bytes);
        ref RaftMessage message = ref state.SendNow(RaftMessageKind.Append, member.Id);
        message.Index = previous;
        message.LogTerm = term.Term;
        message.Commit = state.Commit;
        message.Entries = entries;
        message.Round = member.Repair;
        message.Hint = member.Repair == 0 ? default : member.RepairUntil;
        member.CommitTold = state.Commit;
        if (entries.Length > 0)
        {
            member.OnEntriesSent(previous + (ulong)entries.Length, bytes);
        }
        else if (member.State == ProgressState.Probe)
        {
            member.ProbeOut = true;
        }

        return true;
    }

    private void AskForSnapshot(Progress member)
    {
        bool active = member.HeardAtTick != 0 && state.Now - member.HeardAtTick < (ulong)state.Options.ElectionTicksMax;
        if (!active)
        {
            // Nobody is there to take it: an answered heartbeat brings us back here.
            if (member.State == ProgressState.Replicate)
            {
                member.BecomeProbe();
            }

            member.ProbeOut = true;
            return;
        }

        member.BecomeSnapshot(state.Log.BoundaryIndex);
        state.Out.Snapshots.Add(member.Id);
    }
}
