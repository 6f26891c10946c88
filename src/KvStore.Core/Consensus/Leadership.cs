using System.Collections.Immutable;
using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// What a leader does, from its election until it steps down: proposals, commit, reads, contact with its quorum, and handing its leadership over. How entries reach
/// the followers is <see cref="Replication"/>'s.
/// </summary>
internal sealed class Leadership
{
    private readonly RaftState _state;
    private readonly ProgressTracker _progress;
    private readonly Replication _replication;
    private readonly ReadIndexQueue _reads;
    private readonly MembershipChanges _changes;
    private long _uncommittedBytes;
    private int _heartbeatElapsed;
    private bool _heartbeatDue;
    private LogIndex _firstOwnIndex;
    private ReplicaId _transferee;
    private int _transferElapsed;
    private ulong? _wokeAt;
    private ulong _wakeRound;

    public Leadership(RaftState state)
    {
        _state = state;
        _progress = new ProgressTracker(state.Options);
        _replication = new Replication(state, _progress);
        _reads = new ReadIndexQueue(state.Options.MaxPendingReads, state.Options.MaxReadRounds);
        _changes = new MembershipChanges(state, _progress);
    }

    /// <summary>Something waits to be put into the next Ready.</summary>
    public bool HasWork => _heartbeatDue || _replication.HasWork || (_reads.CanStartRound && HasCommittedInTerm);

    /// <summary>Whether a quorum was heard so recently that no other leader can have been elected by pre-vote and lease. False while leadership is being handed over.</summary>
    public bool HasQuorumContact => _transferee.IsNone && HeardQuorumRecently && !WakingIsUnconfirmed;

    public bool IsTransferring => !_transferee.IsNone;

    public bool HeardQuorumRecently => _progress.QuorumHeardSince(_state.Self, WindowStart(_state.Options.ElectionTicksMin));

    /// <summary>The leader has been quiet until a moment ago, and its followers with it: who calls for an election now has only just woken too.</summary>
    public bool WokeRecently => _wokeAt is { } at && _state.Now - at < (ulong)_state.Options.ElectionTicksMin;

    /// <summary>The round under which heartbeats offer that the group falls silent; zero: they don't.</summary>
    public ulong Offer { get; set; }

    public int OtherMembers => _progress.Members.Length - (_progress.Find(_state.Self) is null ? 0 : 1);

    /// <summary>Nothing is under way: all members hold the whole log, all of it is committed and applied, nobody waits, and a quorum is there.</summary>
    public bool IsSettled
    {
        get
        {
            LogIndex last = _state.Log.LastIndex;
            bool inOrder = _state.Commit == last && _state.Applied == last && _state.Persist.Stable == last;
            if (!inOrder || _state.Members.IsJoint || !_reads.IsEmpty || !HasQuorumContact)
            {
                return false;
            }

            foreach (Progress member in _progress.Members)
            {
                bool level = member.Match == last && member.Repair == 0 && member.State == ProgressState.Replicate && member.Inflights.Count == 0;
                if (member.Id != _state.Self && !level)
                {
                    return false;
                }
            }

            return true;
        }
    }

    /// <summary>Answers that were given while the group was quiet, or before, confirm an older round than this and count for nothing.</summary>
    private bool WakingIsUnconfirmed => _wakeRound != 0 && _progress.QuorumRound(_state.Self, _reads.Newest) < _wakeRound;

    private bool HasCommittedInTerm => _state.Commit >= _firstOwnIndex;

    public void Begin(IEnumerable<ReplicaId> granters)
    {
        LogIndex last = _state.Log.LastIndex;
        _progress.Adopt(_state.Members, last, _state.Now);
        foreach (Progress member in _progress.Members)
        {
            bool self = member.Id == _state.Self;
            member.Reset(self ? _state.Persist.Stable : LogIndex.Zero, last.Next);
            if (self)
            {
                member.BecomeReplicate();
            }
        }

        foreach (ReplicaId granter in granters)
        {
            _progress.Find(granter)!.HeardAtTick = _state.Now;
        }

        _uncommittedBytes = 0;
        foreach (ref readonly Entry entry in _state.Log.Slice(_state.Commit.Next, last).Span)
        {
            _uncommittedBytes += entry.Size;
        }

        _heartbeatElapsed = 0;
        _heartbeatDue = false;
        _transferee = default;
        _wokeAt = null;
        _wakeRound = 0;
        Offer = 0;
        _firstOwnIndex = last.Next;

        // Only an entry of its own term lets a leader commit the older ones (Raft, section 5.4.2), and tells it where the commit index truly is.
        Append(EntryKind.Empty, default);
        _changes.Begin();
        LeaveJoint();
    }

    public void End()
    {
        _transferee = default;
        _heartbeatDue = false;
        _replication.Stop();

        // Whoever takes the Ready would send it in the name of a term that this replica doesn't lead.
        _state.Out.Snapshots.Clear();
        while (_reads.TryTakeAny(out WaitingRead read))
        {
            Answer(read, default, aborted: true);
        }
    }

    /// <summary>Returns false when the leader has lost its quorum and must step down.</summary>
    public bool Tick()
    {
        // Ticks stood still while the group was quiet: from the moment of waking the followers have the usual time to answer.
        bool onlyJustWoke = _wokeAt is { } at && _state.Now - at < (ulong)_state.Options.ElectionTicksMax;
        if (!_progress.QuorumHeardOrNewSince(_state.Self, WindowStart(_state.Options.ElectionTicksMax)) && !onlyJustWoke)
        {
            return false;
        }

        if (!_transferee.IsNone && ++_transferElapsed >= _state.Options.ElectionTicksMax)
        {
            _transferee = default;
        }

        if (++_heartbeatElapsed >= _state.Options.HeartbeatTicks)
        {
            _heartbeatElapsed = 0;
            _heartbeatDue = true;
        }

        _replication.Tick();
        return true;
    }

    public bool IsMember(ReplicaId id) => _progress.Find(id) is not null;

    /// <summary>From now on heartbeats offer that the group falls silent; the next one goes out at once.</summary>
    public void BeginOffer()
    {
        Offer = _reads.DrawRound();
        _heartbeatDue = true;
        _heartbeatElapsed = 0;
    }

    /// <summary>The group was quiet and isn't any more. Who leads is an open question until a quorum has answered a round that begins now.</summary>
    public void OnWoken()
    {
        foreach (Progress member in _progress.Members)
        {
            member.HeardAtTick = 0;
        }

        _wokeAt = _state.Now;
        _wakeRound = _reads.DrawRound();
        _heartbeatDue = true;
        _heartbeatElapsed = 0;
    }

    public ProposeResult Propose(ReadOnlyMemory<byte> payload, out LogIndex index)
    {
        index = default;
        if (!HasRoomFor(payload.Length))
        {
            return ProposeResult.Overloaded;
        }

        index = Append(EntryKind.Data, payload);
        return ProposeResult.Accepted;
    }

    public ProposeResult ProposeMembership(MembershipConfig target, ReadOnlyMemory<byte> context, out LogIndex index)
    {
        index = default;
        ProposeResult result = HasCommittedInTerm ? _changes.Check(target) : ProposeResult.ChangePending;
        if (result != ProposeResult.Accepted)
        {
            return result;
        }

        byte[] payload = MembershipEntry.Encode(_state.Members.StepTowards(target), context.Span);
        if (!HasRoomFor(payload.Length))
        {
            return ProposeResult.Overloaded;
        }

        index = Append(EntryKind.Configuration, payload);
        return ProposeResult.Accepted;
    }

    /// <summary>A configuration has taken effect. What waits for a quorum is looked at again: the new one may be smaller (raft-rs#363).</summary>
    public void OnMembership()
    {
        _replication.Dismiss();
        _progress.Adopt(_state.Members, _state.Log.LastIndex, _state.Now);
        if (!_transferee.IsNone && _progress.Find(_transferee)?.IsIncomingVoter != true)
        {
            _transferee = default;
        }

        AdvanceCommit();
        ConfirmReads();
        LeaveJoint();
        _replication.OnAppended();
    }

    /// <summary>This leader is no voter any more: the voter that has most of the log is asked to take over, with all that this one can still tell it.</summary>
    public void HandOver()
    {
        Progress? best = null;
        foreach (Progress member in _progress.Members)
        {
            if (member.IsIncomingVoter && (best is null || (member.Match, member.HeardAtTick).CompareTo((best.Match, best.HeardAtTick)) > 0))
            {
                best = member;
            }
        }

        _replication.Flush();
        _state.SendNow(RaftMessageKind.TimeoutNow, best!.Id);
    }

    public ReadResult Read(ulong context) => _reads.TryAdd(new WaitingRead(context, _state.Self)) ? ReadResult.Accepted : ReadResult.Overloaded;

    /// <summary>A follower or a learner asks.</summary>
    public void OnReadIndex(in RaftMessage message)
    {
        var read = new WaitingRead(message.Round, message.From);
        if (_progress.Find(message.From) is null || !_reads.TryAdd(read))
        {
            Answer(read, default, aborted: true);
        }
    }

    public void OnAppendResponse(in RaftMessage message)
    {
        if (_replication.OnAppendResponse(message))
        {
            AdvanceCommit();
            ContinueTransfer(message.From);
        }
    }

    public void OnHeartbeatResponse(in RaftMessage message)
    {
        Progress? member = _replication.OnHeartbeatResponse(message);
        if (member is not null && message.Round > member.ConfirmedRound && message.Round <= _reads.Newest)
        {
            member.ConfirmedRound = message.Round;
            ConfirmReads();
        }
    }

    public void OnDamaged(in RaftMessage message) => _replication.OnDamaged(message);

    /// <summary>The own log is durable up to here.</summary>
    public void OnStable(LogIndex stable)
    {
        if (_progress.Find(_state.Self)?.TryAdvance(stable) == true)
        {
            AdvanceCommit();
        }
    }

    public void ReportSnapshot(ReplicaId to, LogIndex index, bool sent) => _replication.ReportSnapshot(to, index, sent);

    public bool BeginTransfer(ReplicaId to)
    {
        Progress? target = _progress.Find(to);
        if (target is null || !target.IsIncomingVoter || target.Repair != 0 || to == _state.Self || !_transferee.IsNone)
        {
            return false;
        }

        _transferee = to;
        _transferElapsed = 0;
        _replication.Wake(target);
        ContinueTransfer(to);
        return true;
    }

    /// <summary>Turns everything that came since the last Ready into messages: one read round, one heartbeat and as few appends as possible per follower.</summary>
    public void Flush()
    {
        if (_reads.CanStartRound && HasCommittedInTerm)
        {
            _reads.StartRound(_state.Commit);
            _heartbeatDue = true;
            ConfirmReads();
        }

        if (_heartbeatDue)
        {
            _heartbeatDue = false;
            bool carriesRound = _reads.Outstanding != 0 || Offer != 0 || WakingIsUnconfirmed;
            _replication.SendHeartbeats(carriesRound ? _reads.Newest : 0, offersRest: Offer != 0);
        }

        _replication.Flush();
    }

    public ImmutableArray<ProgressStatus> Describe() => _progress.Describe(WindowStart(_state.Options.ElectionTicksMax), _state.Self);

    private ulong WindowStart(int ticks) => _state.Now < (ulong)ticks ? 0 : _state.Now - (ulong)ticks + 1;

    private bool HasRoomFor(int payloadBytes)
    {
        int size = new Entry(_state.Term, default, EntryKind.Data, default).Size + payloadBytes;
        return _transferee.IsNone && (_uncommittedBytes == 0 || _uncommittedBytes + size <= _state.Options.MaxUncommittedBytes);
    }

    /// <summary>A joint configuration is a passage. Whoever leads when it is in force leads out of it, also if another leader led in.</summary>
    private void LeaveJoint()
    {
        if (_changes.MustLeave)
        {
            Append(EntryKind.Configuration, MembershipEntry.Encode(_state.Members.AfterLeaving(), _state.MembersContext.Span));
        }
    }

    private LogIndex Append(EntryKind kind, ReadOnlyMemory<byte> payload)
    {
        var entry = new Entry(_state.Term, _state.Log.LastIndex.Next, kind, payload);
        _state.Log.Append(entry);
        _uncommittedBytes += entry.Size;
        if (kind == EntryKind.Configuration)
        {
            _changes.OnAppended(entry.Index);
        }

        _replication.OnAppended();
        return entry.Index;
    }

    /// <summary>Commits what a quorum holds, if it ends in an entry of this term.</summary>
    private void AdvanceCommit()
    {
        LogIndex before = _state.Commit;
        LogIndex candidate = _progress.QuorumMatch();
        if (candidate <= before || candidate < _firstOwnIndex)
        {
            return;
        }

        Invariant.Assert(_state.Log[candidate].Term == _state.Term);
        _state.CommitUpTo(candidate);
        foreach (ref readonly Entry entry in _state.Log.Slice(before.Next, candidate).Span)
        {
            _uncommittedBytes -= entry.Size;
        }

        Invariant.Assert(_uncommittedBytes >= 0);
        _replication.OnCommitted();
    }

    private void ConfirmReads()
    {
        ulong confirmed = _progress.QuorumRound(_state.Self, _reads.Newest);
        while (_reads.TryTakeConfirmed(confirmed, out WaitingRead read, out LogIndex index))
        {
            Answer(read, index, aborted: false);
        }
    }

    private void Answer(WaitingRead read, LogIndex index, bool aborted)
    {
        if (read.Asker == _state.Self)
        {
            _state.Out.Reads.Add(new ReadState(read.Number, index, aborted));
            return;
        }

        ref RaftMessage answer = ref _state.SendNow(RaftMessageKind.ReadIndexResponse, read.Asker);
        answer.Round = read.Number;
        answer.Index = index;
        answer.Reject = aborted;
        answer.Commit = LogIndex.Min(_state.Commit, _progress.Find(read.Asker) is { Repair: 0 } asker ? asker.Match : LogIndex.Zero);
    }

    private void ContinueTransfer(ReplicaId heardFrom)
    {
        if (heardFrom == _transferee && _progress.Find(heardFrom)!.Match == _state.Log.LastIndex)
        {
            _state.SendNow(RaftMessageKind.TimeoutNow, heardFrom);
        }
    }
}
