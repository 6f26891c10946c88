using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// Asking for votes and granting them (Raft, section 5.2; pre-vote: thesis, section 9.6). A pre-vote changes nothing at anybody: it asks whether an election could be won.
/// </summary>
internal sealed class Election(RaftState state)
{
    /// <summary>In <see cref="RaftMessage.Round"/> of a vote request: the leader itself asked for this election, so its lease is no reason to refuse.</summary>
    internal const ulong TransferMark = 1;

    private readonly Dictionary<ReplicaId, bool> _answers = [];

    /// <summary>Why a replica must not campaign now, even if it hears no leader.</summary>
    public bool MayCampaign => state.Members.IsVoter(state.Self) && state.Installing is null && !state.Quarantine.IsActive && !HasUnappliedConfiguration;

    /// <summary>A replica that is to apply a configuration doesn't know yet who decides an election.</summary>
    private bool HasUnappliedConfiguration => state.LastConfigurationIn(state.Applied.Next, state.Commit) > LogIndex.Zero;

    public IEnumerable<ReplicaId> Granted => _answers.Where(answer => answer.Value).Select(answer => answer.Key);

    /// <summary>Returns the tally, which is won at once by a single voter.</summary>
    public VoteTally BeginPreVote()
    {
        // A restart of the pre-vote begins from nothing: an old grant says nothing about now.
        _answers.Clear();
        state.Enter(RaftRole.PreCandidate, state.Term, default);
        _answers[state.Self] = true;
        Term next = state.Term.Next;
        foreach (ReplicaId member in state.Members.Members)
        {
            if (member != state.Self && state.Members.IsVoter(member))
            {
                ref RaftMessage ask = ref state.SendNow(RaftMessageKind.PreVote, member);
                ask.Term = next;
                ask.Index = state.Log.LastIndex;
                ask.LogTerm = state.Log.LastTerm;
            }
        }

        return Tally();
    }

    /// <summary>
    /// Requests and the own vote leave only when the new term and the whole log are durable: a candidate that crashed and lost them could otherwise
    /// be elected in the same term by answers to its earlier self.
    /// </summary>
    public void BeginVote(ulong mark)
    {
        _answers.Clear();
        state.Enter(RaftRole.Candidate, state.Term.Next, default);
        state.VoteFor(state.Self);
        state.SendAfterPersist(RaftMessageKind.VoteResponse, state.Self);
        foreach (ReplicaId member in state.Members.Members)
        {
            if (member != state.Self && state.Members.IsVoter(member))
            {
                ref RaftMessage ask = ref state.SendAfterPersist(RaftMessageKind.Vote, member);
                ask.Index = state.Log.LastIndex;
                ask.LogTerm = state.Log.LastTerm;
                ask.Round = mark;
            }
        }
    }

    /// <summary>An answer to a pre-vote or a vote. Answers to something else than the question now open don't count.</summary>
    public VoteTally OnAnswer(in RaftMessage message)
    {
        bool current = message.Kind switch
        {
            RaftMessageKind.PreVoteResponse => state.Role == RaftRole.PreCandidate && message.Term == (message.Reject ? state.Term : state.Term.Next),
            RaftMessageKind.VoteResponse => state.Role == RaftRole.Candidate && message.Term == state.Term,
            _ => false,
        };
        if (!current || !state.Members.IsVoter(message.From))
        {
            return VoteTally.Pending;
        }

        _answers.TryAdd(message.From, !message.Reject);
        return Tally();
    }

    /// <summary>
    /// Answers a pre-vote or a vote at or above this term. Whether this replica knows itself or the candidate as a voter doesn't matter: its configuration may be
    /// the older one, and a learner that is asked answers.
    /// </summary>
    public void OnRequest(in RaftMessage message)
    {
        bool preVote = message.Kind == RaftMessageKind.PreVote;
        bool mayVote = state.Vote == message.From
            || (state.Vote.IsNone && state.Leader.IsNone)
            || (preVote && message.Term > state.Term);
        bool grant = mayVote && !state.Quarantine.IsActive && state.Log.IsAtMost(message.Index, message.LogTerm) && !(preVote && GoesFirst(message));
        if (preVote)
        {
            if (grant)
            {
                state.AwaitRival();
            }

            ref RaftMessage answer = ref state.SendNow(RaftMessageKind.PreVoteResponse, message.From);
            answer.Term = grant ? message.Term : state.Term;
            answer.Reject = !grant;
            TellCommit(ref answer);
        }
        else if (grant)
        {
            state.VoteFor(message.From);
            state.RestartElectionTimer();
            TellCommit(ref state.SendAfterPersist(RaftMessageKind.VoteResponse, message.From));
        }
        else
        {
            ref RaftMessage answer = ref state.SendNow(RaftMessageKind.VoteResponse, message.From);
            answer.Reject = true;
            TellCommit(ref answer);
        }
    }

    /// <summary>
    /// Two replicas that ask for pre-votes at the same time would grant each other's, vote for themselves in the same term, and wait for another timeout. So of two that are equally good one goes first: while its own question is fresh,
    /// the one with the lower id refuses the other's. Only while it is fresh: a replica that reaches too few to win asks for ever, and must not keep others from winning.
    /// </summary>
    private bool GoesFirst(in RaftMessage rival) =>
        state.Role == RaftRole.PreCandidate && state.ElectionElapsed < state.RivalTicks
        && rival.Term == state.Term.Next && state.Self.CompareTo(rival.From) < 0 && rival.Index == state.Log.LastIndex && rival.LogTerm == state.Log.LastTerm;

    /// <summary>Who answers says how far it knows the log to be committed: see <see cref="LearnConfiguration"/>.</summary>
    public void TellCommit(ref RaftMessage answer)
    {
        TermLookup term = state.Log.TermAt(state.Commit);
        if (term.Outcome == TermOutcome.Known && !state.Quarantine.IsActive)
        {
            answer.Commit = state.Commit;
            answer.LogTerm = term.Term;
        }
    }

    /// <summary>
    /// A configuration in the own log may be known as committed only to replicas that can't lead any more, or can't win: a leader that has removed itself by it, with a longer log than all others. Its vote may be
    /// needed and is not to be had, for ever, unless its answer tells what is committed (raft-rs: "commit by vote"). Committed is committed, whoever says so and in whatever term.
    /// Returns whether there is such a configuration to apply: the election that is under way asks the wrong voters.
    /// </summary>
    public bool LearnConfiguration(in RaftMessage answer)
    {
        bool isNews = !state.IsLeader && state.Installing is null && !state.Quarantine.IsActive && answer.Commit > state.Commit
            && state.Log.TermAt(answer.Commit).Is(answer.LogTerm)
            && state.LastConfigurationIn(state.Commit.Next, answer.Commit) > LogIndex.Zero;
        return isNews && state.CommitUpTo(answer.Commit);
    }

    private VoteTally Tally() => JointQuorum.Tally(state.Members, id => _answers.TryGetValue(id, out bool granted) ? granted : null);
}
