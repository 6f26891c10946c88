using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// Decides what role the replica is in, and which of its collaborators looks at a message: the rules about terms (Raft, section 5.1) with pre-vote and check-quorum.
/// </summary>
internal sealed class Roles(RaftState state, Election election, Leadership leadership, Followership followership)
{
    /// <summary>The term in which the leader asked this replica to take over while it still had a configuration to apply; zero if it didn't.</summary>
    private Term _takeOverIn;

    /// <summary>A live leader is known here, or is here: whoever wants an election only lost contact himself.</summary>
    private bool HasLease => state.IsLeader ? leadership.HeardQuorumRecently : state.InLeaderLease;

    public void Tick()
    {
        state.AdvanceClock();
        if (state.IsLeader)
        {
            if (!leadership.Tick())
            {
                BecomeFollower(state.Term, default);
            }
        }
        else
        {
            followership.Tick();
            if (state.ElectionElapsed >= state.ElectionTimeout)
            {
                Campaign();
            }
        }
    }

    public void Campaign()
    {
        if (state.IsLeader)
        {
            return;
        }

        if (!election.MayCampaign)
        {
            state.RestartElectionTimer();
            return;
        }

        if (election.BeginPreVote() == VoteTally.Won)
        {
            election.BeginVote(mark: 0);
        }
    }

    /// <summary>A configuration has taken effect.</summary>
    public void OnMembership()
    {
        if (!state.IsLeader)
        {
            return;
        }

        leadership.OnMembership();
        if (!state.Members.IsVoter(state.Self))
        {
            leadership.HandOver();
            BecomeFollower(state.Term, default);
        }
    }

    /// <summary>More is applied. A leader's request to take over may have waited for it.</summary>
    public void OnApplied()
    {
        if (_takeOverIn == state.Term && state.Role == RaftRole.Follower && election.MayCampaign)
        {
            _takeOverIn = default;
            election.BeginVote(Election.TransferMark);
        }
    }

    /// <summary>The own log or view was found damaged.</summary>
    public void Quarantine(ulong repair)
    {
        BecomeFollower(state.Term, state.IsLeader ? default : state.Leader);
        state.Quarantine.Begin(repair);
    }

    public void Step(in RaftMessage message)
    {
        if (message.Term < state.Term)
        {
            AnswerOldTerm(message);
            return;
        }

        if (message.Term > state.Term && !EnterNewerTerm(message))
        {
            return;
        }

        Dispatch(message);
    }

    public void BecomeFollower(Term term, ReplicaId leader)
    {
        if (state.IsLeader)
        {
            leadership.End();
        }

        state.Enter(RaftRole.Follower, term, leader);
    }

    /// <summary>A message of the past is void, but two senders must learn that they live in it, or a replica that is ahead could never rejoin (raft-rs#84, #42).</summary>
    private void AnswerOldTerm(in RaftMessage message)
    {
        switch (message.Kind)
        {
            case RaftMessageKind.Append or RaftMessageKind.Heartbeat or RaftMessageKind.Snapshot:
                ref RaftMessage notice = ref state.SendNow(RaftMessageKind.AppendResponse, message.From);
                notice.Reject = true;
                break;
            case RaftMessageKind.PreVote:
                state.SendNow(RaftMessageKind.PreVoteResponse, message.From).Reject = true;
                break;
            case RaftMessageKind.ReadIndex:
                state.SendNow(RaftMessageKind.ReadIndexResponse, message.From).Reject = true;
                break;
            default:
                break;
        }
    }

    /// <summary>The leader itself asked for this election. Such a wish can reach a replica long after its removal, and must not disturb the group then.</summary>
    private bool IsByLeadersWish(in RaftMessage message) => message.Round == Election.TransferMark && state.Members.IsVoter(message.From);

    /// <summary>Returns whether the message is to be looked at.</summary>
    private bool EnterNewerTerm(in RaftMessage message)
    {
        switch (message.Kind)
        {
            case RaftMessageKind.PreVote or RaftMessageKind.Vote when HasLease && !IsByLeadersWish(message):
                return false;
            case RaftMessageKind.PreVote:
            case RaftMessageKind.PreVoteResponse when !message.Reject:
                // It names a term that nobody may ever enter.
                return true;
            case RaftMessageKind.Append or RaftMessageKind.Heartbeat or RaftMessageKind.Snapshot:
                BecomeFollower(message.Term, message.From);
                return true;
            default:
                BecomeFollower(message.Term, default);
                return true;
        }
    }

    private void Dispatch(in RaftMessage message)
    {
        switch (message.Kind)
        {
            case RaftMessageKind.PreVote or RaftMessageKind.Vote:
                election.OnRequest(message);
                break;
            case RaftMessageKind.PreVoteResponse or RaftMessageKind.VoteResponse:
                OnElectionAnswer(message);
                break;
            case RaftMessageKind.Append:
                FollowSender(message);
                followership.OnAppend(message);
                break;
            case RaftMessageKind.Heartbeat:
                FollowSender(message);
                followership.OnHeartbeat(message);
                break;
            case RaftMessageKind.Snapshot:
                FollowSender(message);
                break;
            case RaftMessageKind.AppendResponse when state.IsLeader:
                leadership.OnAppendResponse(message);
                break;
            case RaftMessageKind.HeartbeatResponse when state.IsLeader:
                leadership.OnHeartbeatResponse(message);
                break;
            case RaftMessageKind.Damaged when state.IsLeader:
                leadership.OnDamaged(message);
                break;
            case RaftMessageKind.ReadIndex when state.IsLeader:
                leadership.OnReadIndex(message);
                break;
            case RaftMessageKind.ReadIndex:
                ref RaftMessage refusal = ref state.SendNow(RaftMessageKind.ReadIndexResponse, message.From);
                refusal.Round = message.Round;
                refusal.Reject = true;
                break;
            case RaftMessageKind.ReadIndexResponse:
                followership.OnReadIndexResponse(message);
                break;
            case RaftMessageKind.TimeoutNow when state.Role == RaftRole.Follower && message.From == state.Leader && state.Members.IsVoter(state.Self):
                _takeOverIn = state.Term;
                OnApplied();
                break;
            default:
                break;
        }
    }

    private void OnElectionAnswer(in RaftMessage message)
    {
        switch (election.OnAnswer(message))
        {
            case VoteTally.Won when state.Role == RaftRole.PreCandidate:
                election.BeginVote(mark: 0);
                break;
            case VoteTally.Won:
                state.Enter(RaftRole.Leader, state.Term, state.Self);
                leadership.Begin(election.Granted);
                break;
            case VoteTally.Lost:
                BecomeFollower(state.Term, default);
                break;
            default:
                break;
        }
    }

    /// <summary>Only the leader of this term sends such a message.</summary>
    private void FollowSender(in RaftMessage message)
    {
        Invariant.Assert(!state.IsLeader);
        Invariant.Assert(state.Leader.IsNone || state.Leader == message.From);
        if (state.Role != RaftRole.Follower)
        {
            BecomeFollower(message.Term, message.From);
        }

        state.HeardFromLeader(message.From);
    }
}
