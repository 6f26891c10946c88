using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>Who may ask for votes, who gets one, and which answers count.</summary>
public sealed class ElectionTests
{
    private static readonly RaftOptions Patient = SingleNode.Options with { ElectionTicksMax = 100_000 };

    [Fact]
    public void A_campaign_begins_exactly_at_the_timeout_and_asks_only_other_voters()
    {
        SingleNode node = new(voters: 3, learners: 1, recovered: SingleNode.Disk(2, 0, 1, 2));
        node.Tick(9);
        node.Node.State.Should().Be(RaftRole.Follower);
        node.Tick(1);
        node.Node.State.Should().Be(RaftRole.PreCandidate);
        node.Node.Term.Should().Be(new Term(2), "a pre-vote changes nothing");
        node.Ready().Select(ask => (ask.Kind, ask.To.Value, ask.Term.Value, ask.Index.Value, ask.LogTerm.Value)).Should().Equal(
            (RaftMessageKind.PreVote, 2, 3, 2, 2), (RaftMessageKind.PreVote, 3, 3, 2, 2));

        node.Step(RaftMessageKind.PreVoteResponse, 3, 3);
        node.Node.State.Should().Be(RaftRole.Candidate);
        node.Ready().Select(ask => (ask.Kind, ask.To.Value, ask.Term.Value, ask.Index.Value, ask.LogTerm.Value, ask.Round)).Should().Equal(
            (RaftMessageKind.Vote, 2, 3, 2, 2, 0), (RaftMessageKind.Vote, 3, 3, 2, 2, 0));
    }

    [Fact]
    public void Whoever_is_no_voter_never_campaigns()
    {
        var learner = new RaftNode(SingleNode.Options, new ReplicaId(4), new MembershipConfig([new(1), new(2), new(3)], [new(4)]), RaftRecoveredState.Empty, new Random(1));
        for (int i = 0; i < 100; i++)
        {
            learner.Tick();
        }

        learner.Campaign();
        learner.State.Should().Be(RaftRole.Follower);
    }

    [Fact]
    public void A_leader_does_not_campaign()
    {
        SingleNode leader = SingleNode.Leader();
        leader.Node.Campaign();
        leader.Node.State.Should().Be(RaftRole.Leader);
    }

    [Fact]
    public void A_single_voter_wins_alone_once_its_vote_is_durable()
    {
        SingleNode node = new(voters: 1);
        node.Node.Campaign();
        node.Node.State.Should().Be(RaftRole.Candidate);
        node.Ready();
        node.Node.State.Should().Be(RaftRole.Leader);
    }

    [Fact]
    public void A_vote_is_given_once_in_a_term_and_the_same_one_again_on_asking()
    {
        SingleNode node = new(recovered: SingleNode.Disk(2, 0, 1, 2));
        Asks(node, RaftMessageKind.Vote, 2, 3, 2, 2).Should().Be("yes 3");
        Asks(node, RaftMessageKind.Vote, 3, 3, 2, 2).Should().Be("no 3");
        Asks(node, RaftMessageKind.Vote, 2, 3, 2, 2).Should().Be("yes 3");
        Asks(node, RaftMessageKind.Vote, 3, 4, 2, 2).Should().Be("yes 4");
        node.HardState!.Value.Vote.Should().Be(new ReplicaId(3));
        node.MustSync.Should().BeTrue();
    }

    [Theory]
    [InlineData(RaftMessageKind.PreVote, 3, "yes", false)]
    [InlineData(RaftMessageKind.PreVote, 1, "no", false)]
    [InlineData(RaftMessageKind.Vote, 3, "yes", false)]
    [InlineData(RaftMessageKind.Vote, 1, "no", false)]
    [InlineData(RaftMessageKind.PreVote, 3, "no", true)]
    [InlineData(RaftMessageKind.Vote, 3, "no", true)]
    public void Every_answer_to_who_asks_for_a_vote_says_what_is_committed_unless_the_log_is_under_repair(RaftMessageKind kind, ulong last, string given, bool isDamaged)
    {
        SingleNode node = new(Patient, recovered: SingleNode.Disk(3, 2, 1, 2, 2));
        if (isDamaged)
        {
            node.Node.Quarantine();
        }

        node.Step(new RaftMessage { Kind = kind, From = new ReplicaId(2), Term = new Term(4), Index = new LogIndex(last), LogTerm = new Term(last == 3 ? 3u : 1) });
        RaftMessage answer = node.Ready().Single(message => message.Kind is RaftMessageKind.VoteResponse or RaftMessageKind.PreVoteResponse);
        (answer.Reject ? "no" : "yes").Should().Be(given);
        (answer.Commit.Value, answer.LogTerm.Value).Should().Be(isDamaged ? (0UL, 0UL) : (2UL, 2UL));
    }

    [Theory]
    [InlineData(3, 2, 3)]
    [InlineData(3, 1, 1)]
    [InlineData(4, 2, 4)]
    [InlineData(5, 2, 1)]
    [InlineData(2, 2, 1)]
    [InlineData(0, 0, 1)]
    public void A_configuration_in_the_own_log_that_an_answer_calls_committed_is(ulong commit, ulong term, ulong committed)
    {
        // Of entries 2 to 4 only the third is a configuration.
        SingleNode node = new(recovered: WithConfiguration());
        node.Node.Campaign();
        node.Ready();
        node.Step(Told(RaftMessageKind.PreVoteResponse, 3, commit, term));
        node.Ready();
        node.Node.CommitIndex.Value.Should().Be(committed);
        node.Node.State.Should().Be(committed == 1 ? RaftRole.PreCandidate : RaftRole.Follower, "a configuration that was learned is applied before anybody is asked again");
    }

    [Fact]
    public void Who_asks_for_a_pre_vote_out_of_the_past_is_told_what_is_committed_too()
    {
        SingleNode node = new(Patient, recovered: SingleNode.Disk(3, 2, 1, 2, 2));
        node.Step(new RaftMessage { Kind = RaftMessageKind.PreVote, From = new ReplicaId(2), Term = new Term(2), Index = new LogIndex(9), LogTerm = new Term(1) });
        RaftMessage answer = node.Ready().Single(message => message.Kind == RaftMessageKind.PreVoteResponse);
        (answer.Reject, answer.Term.Value, answer.Commit.Value, answer.LogTerm.Value).Should().Be((true, 3UL, 2UL, 2UL));
    }

    [Fact]
    public void Who_leads_or_is_damaged_or_takes_a_snapshot_over_learns_no_configuration_from_answers()
    {
        SingleNode leader = new(recovered: WithConfiguration());
        leader.Elect();
        leader.Node.State.Should().Be(RaftRole.Leader);
        leader.Step(Told(RaftMessageKind.VoteResponse, leader.Node.Term.Value, 3, 2));
        leader.Node.CommitIndex.Value.Should().Be(1, "it counts who has its entries");

        SingleNode damaged = new(Patient, recovered: WithConfiguration());
        damaged.Node.Quarantine();
        damaged.Step(Told(RaftMessageKind.PreVoteResponse, 3, 3, 2));
        damaged.Node.CommitIndex.Value.Should().Be(1, "what stands in its log may not be what was there");

        SingleNode installing = new(Patient, recovered: WithConfiguration());
        installing.Node.BeginSnapshotInstall(new ReplicaId(2), new Term(3), new LogIndex(9), new Term(3)).Should().BeTrue();
        installing.Step(Told(RaftMessageKind.PreVoteResponse, 3, 3, 2));
        installing.Node.CommitIndex.Value.Should().Be(1, "the snapshot says it");
    }

    [Fact]
    public void Nobody_is_elected_over_a_more_complete_log()
    {
        SingleNode node = new(recovered: SingleNode.Disk(2, 0, 1, 2));
        Asks(node, RaftMessageKind.Vote, 2, 3, 1, 2).Should().Be("no 3");
        Asks(node, RaftMessageKind.Vote, 2, 3, 9, 1).Should().Be("no 3");
        Asks(node, RaftMessageKind.PreVote, 2, 4, 1, 2).Should().Be("no 3");
        Asks(node, RaftMessageKind.PreVote, 2, 4, 2, 2).Should().Be("yes 4");
        Asks(node, RaftMessageKind.Vote, 3, 3, 1, 3).Should().Be("yes 3");
    }

    [Fact]
    public void A_term_that_has_a_leader_needs_no_other()
    {
        SingleNode node = SingleNode.Follower(3);
        Asks(node, RaftMessageKind.Vote, 3, 3, 9, 9).Should().Be("no 3");
        Asks(node, RaftMessageKind.PreVote, 3, 3, 9, 9).Should().Be("no 3");
    }

    [Fact]
    public void A_pre_vote_for_a_later_term_does_not_ask_for_whom_one_has_voted()
    {
        SingleNode node = new();
        Asks(node, RaftMessageKind.Vote, 2, 3, 0, 0).Should().Be("yes 3");
        Asks(node, RaftMessageKind.PreVote, 3, 4, 0, 0).Should().Be("yes 4");
        Asks(node, RaftMessageKind.PreVote, 3, 3, 0, 0).Should().Be("no 3");
        Asks(node, RaftMessageKind.PreVote, 2, 3, 0, 0).Should().Be("yes 3");
        node.Node.Term.Should().Be(new Term(3));
    }

    [Fact]
    public void Of_two_that_ask_at_the_same_time_and_are_equally_good_the_lower_id_goes_first()
    {
        SingleNode lower = new(Patient, recovered: SingleNode.Disk(2, 0, 1, 2));
        lower.Node.Campaign();
        lower.Ready();
        Asks(lower, RaftMessageKind.PreVote, 3, 3, 2, 2).Should().Be("no 2", "its own question is fresh");
        Asks(lower, RaftMessageKind.PreVote, 3, 3, 3, 2).Should().Be("yes 3", "a longer log wins");
        Asks(lower, RaftMessageKind.PreVote, 3, 3, 1, 3).Should().Be("yes 3", "and so does a later one");
        Asks(lower, RaftMessageKind.PreVote, 3, 4, 2, 2).Should().Be("yes 4", "who is a term ahead would refuse the own question");
        Asks(lower, RaftMessageKind.Vote, 3, 3, 2, 2).Should().Be("yes 3", "a vote is not a question");

        SingleNode higher = new(Patient, recovered: SingleNode.Disk(2, 0, 1, 2), self: 3);
        higher.Node.Campaign();
        higher.Ready();
        Asks(higher, RaftMessageKind.PreVote, 1, 3, 2, 2).Should().Be("yes 3");
    }

    [Fact]
    public void Who_asks_in_vain_does_not_keep_others_from_winning()
    {
        SingleNode node = new(Patient);
        node.Node.Campaign();
        node.Ready();
        node.Tick(1);
        Asks(node, RaftMessageKind.PreVote, 3, 1, 0, 0).Should().Be("no 0");
        node.Tick(1);
        node.Node.State.Should().Be(RaftRole.PreCandidate);
        Asks(node, RaftMessageKind.PreVote, 3, 1, 0, 0).Should().Be("yes 1", "the own question is two ticks old");
    }

    [Fact]
    public void Who_granted_a_pre_vote_waits_a_little_for_the_request_that_follows()
    {
        SingleNode node = new();
        node.Tick(9);
        Asks(node, RaftMessageKind.PreVote, 2, 1, 0, 0).Should().Be("yes 1");
        node.Tick(1);
        node.Node.State.Should().Be(RaftRole.Follower);
        Asks(node, RaftMessageKind.PreVote, 2, 1, 0, 0).Should().Be("yes 1");
        node.Tick(1);
        node.Node.State.Should().Be(RaftRole.Follower);
        Asks(node, RaftMessageKind.PreVote, 2, 1, 0, 0).Should().Be("yes 1", "and however often it is asked");
        node.Tick(1);
        node.Node.State.Should().Be(RaftRole.PreCandidate, "not for ever");
    }

    [Fact]
    public void While_the_leader_was_heard_lately_elections_are_not_even_answered()
    {
        SingleNode node = new(Patient);
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        node.Ready();
        node.Tick(9);
        Asks(node, RaftMessageKind.PreVote, 3, 4, 0, 0).Should().Be("");
        Asks(node, RaftMessageKind.Vote, 3, 4, 0, 0).Should().Be("");
        node.Node.Term.Should().Be(new Term(3));
        node.Tick(1);
        Asks(node, RaftMessageKind.PreVote, 3, 4, 0, 0).Should().Be("yes 4");
        Asks(node, RaftMessageKind.Vote, 3, 4, 0, 0).Should().Be("yes 4");
    }

    [Fact]
    public void An_election_that_the_leader_asked_for_is_answered_at_once()
    {
        SingleNode node = SingleNode.Follower(3);
        node.Step(new RaftMessage { Kind = RaftMessageKind.Vote, From = new ReplicaId(3), Term = new Term(4), Round = Election.TransferMark });
        node.Ready().Single().Reject.Should().BeFalse();
    }

    [Fact]
    public void A_leader_that_its_quorum_answers_ignores_elections_and_one_that_is_not_heard_gives_way()
    {
        SingleNode leader = SingleNode.Leader(Patient);
        leader.Tick(9);
        leader.Ready();
        Asks(leader, RaftMessageKind.Vote, 3, 2, 9, 9).Should().Be("");
        leader.Tick(1);
        leader.Ready();
        Asks(leader, RaftMessageKind.Vote, 3, 2, 9, 9).Should().Be("yes 2");
        leader.Node.State.Should().Be(RaftRole.Follower);
    }

    [Fact]
    public void Granting_a_vote_restarts_the_timer_and_refusing_one_does_not()
    {
        SingleNode granting = new();
        granting.Tick(9);
        Asks(granting, RaftMessageKind.Vote, 2, 1, 0, 0).Should().Be("yes 1");
        granting.Tick(5);
        Asks(granting, RaftMessageKind.Vote, 3, 1, 0, 0).Should().Be("no 1");
        granting.Tick(4);
        granting.Node.State.Should().Be(RaftRole.Follower);
        granting.Tick(1);
        granting.Node.State.Should().Be(RaftRole.PreCandidate);
    }

    [Fact]
    public void Granting_a_vote_in_the_own_term_restarts_the_timer_too()
    {
        SingleNode node = new();
        node.Step(RaftMessageKind.AppendResponse, 2, 1);
        node.Tick(9);
        Asks(node, RaftMessageKind.Vote, 2, 1, 0, 0).Should().Be("yes 1");
        node.Tick(9);
        node.Node.State.Should().Be(RaftRole.Follower);
    }

    [Fact]
    public void A_heartbeat_restarts_the_timer()
    {
        SingleNode node = SingleNode.Follower(3);
        node.Tick(9);
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        node.Tick(9);
        node.Node.State.Should().Be(RaftRole.Follower);
        node.Tick(1);
        node.Node.State.Should().Be(RaftRole.PreCandidate);
    }

    [Fact]
    public void Only_answers_to_the_open_question_count()
    {
        SingleNode node = new(voters: 3, learners: 1);
        node.Node.Campaign();
        node.Step(RaftMessageKind.VoteResponse, 2, 0);
        node.Step(RaftMessageKind.PreVoteResponse, 2, 0);
        node.Step(RaftMessageKind.PreVoteResponse, 2, 5);
        node.Step(RaftMessageKind.PreVoteResponse, 4, 1);
        (node.Node.State, node.Node.Term).Should().Be((RaftRole.PreCandidate, Term.Zero));
        node.Step(RaftMessageKind.PreVoteResponse, 2, 1);
        node.Node.State.Should().Be(RaftRole.Candidate);

        node.Ready();
        node.Step(RaftMessageKind.PreVoteResponse, 3, 1);
        node.Step(RaftMessageKind.PreVoteResponse, 3, 2);
        node.Step(RaftMessageKind.VoteResponse, 4, 1);
        node.Node.State.Should().Be(RaftRole.Candidate);
        node.Step(RaftMessageKind.VoteResponse, 3, 1);
        node.Node.State.Should().Be(RaftRole.Leader);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_election_is_lost_by_a_majority_of_refusals_and_the_first_answer_counts(bool vote)
    {
        SingleNode node = new();
        node.Node.Campaign();
        node.Ready();
        RaftMessageKind kind = RaftMessageKind.PreVoteResponse;
        if (vote)
        {
            node.Step(kind, 2, 1);
            node.Ready();
            kind = RaftMessageKind.VoteResponse;
        }

        Refuses(node, kind, 2);
        node.Step(kind, 2, 1);
        node.Node.State.Should().Be(vote ? RaftRole.Candidate : RaftRole.PreCandidate);
        Refuses(node, kind, 3);
        node.Node.State.Should().Be(RaftRole.Follower);
    }

    [Fact]
    public void An_answer_from_a_later_term_ends_the_election()
    {
        SingleNode node = new();
        node.Node.Campaign();
        node.Step(new RaftMessage { Kind = RaftMessageKind.PreVoteResponse, From = new ReplicaId(2), Term = new Term(7), Reject = true });
        (node.Node.State, node.Node.Term).Should().Be((RaftRole.Follower, new Term(7)));
        node.Step(RaftMessageKind.AppendResponse, 3, 9);
        (node.Node.Term, node.Node.Leader.IsNone).Should().Be((new Term(9), true));
    }

    [Fact]
    public void A_second_campaign_does_not_count_the_grants_of_the_first()
    {
        SingleNode node = new(voters: 5);
        node.Node.Campaign();
        node.Step(RaftMessageKind.PreVoteResponse, 2, 1);
        node.Tick(10);
        node.Step(RaftMessageKind.PreVoteResponse, 3, 1);
        node.Node.State.Should().Be(RaftRole.PreCandidate);
        node.Step(RaftMessageKind.PreVoteResponse, 4, 1);
        node.Node.State.Should().Be(RaftRole.Candidate);
    }

    [Fact]
    public void Only_the_leader_may_call_for_a_take_over_and_only_a_follower_heeds_it()
    {
        SingleNode node = SingleNode.Follower(3);
        node.Step(RaftMessageKind.TimeoutNow, 3, 3);
        node.Node.State.Should().Be(RaftRole.Follower);
        node.Step(RaftMessageKind.TimeoutNow, 2, 3);
        (node.Node.State, node.Node.Term).Should().Be((RaftRole.Candidate, new Term(4)));
        node.Ready().Should().OnlyContain(ask => ask.Kind == RaftMessageKind.Vote && ask.Round == Election.TransferMark);

        SingleNode campaigning = new();
        campaigning.Node.Campaign();
        campaigning.Step(RaftMessageKind.TimeoutNow, 2, 0);
        campaigning.Node.State.Should().Be(RaftRole.PreCandidate);
    }

    [Fact]
    public void A_candidate_that_hears_the_leader_of_its_term_follows_it()
    {
        SingleNode node = new();
        node.Node.Campaign();
        node.Step(RaftMessageKind.PreVoteResponse, 3, 1);
        node.Step(RaftMessageKind.Heartbeat, 2, 1);
        (node.Node.State, node.Node.Leader, node.Node.Term).Should().Be((RaftRole.Follower, new ReplicaId(2), new Term(1)));
    }

    [Fact]
    public void Two_leaders_in_one_term_break_an_invariant()
    {
        SingleNode leader = SingleNode.Leader();
        FluentActions.Invoking(() => leader.Step(RaftMessageKind.Heartbeat, 2, 1)).Should().Throw<InvariantViolationException>();
        SingleNode follower = SingleNode.Follower(3);
        FluentActions.Invoking(() => follower.Step(RaftMessageKind.Snapshot, 3, 3)).Should().Throw<InvariantViolationException>();
    }

    private static void Refuses(SingleNode node, RaftMessageKind kind, ulong from) =>
        node.Step(new RaftMessage { Kind = kind, From = new ReplicaId(from), Term = node.Node.Term, Reject = true });

    /// <summary>Four entries of which the first is committed and the third changes the group; what it changes it to doesn't matter.</summary>
    private static RaftRecoveredState WithConfiguration()
    {
        RaftRecoveredState disk = SingleNode.Disk(3, 1, 1, 2, 2, 2);
        Entry[] entries = disk.Entries.ToArray();
        entries[2] = entries[2] with { Kind = EntryKind.Configuration, Payload = MembershipEntry.Encode(new MembershipConfig([new(1), new(2), new(3)], [new(4)]), []) };
        return new RaftRecoveredState { HardState = disk.HardState, Entries = entries };
    }

    private static RaftMessage Told(RaftMessageKind kind, ulong term, ulong commit, ulong logTerm) => new()
    {
        Kind = kind,
        From = new ReplicaId(2),
        Term = new Term(term),
        Reject = true,
        Commit = new LogIndex(commit),
        LogTerm = new Term(logTerm),
    };

    private static string Asks(SingleNode node, RaftMessageKind kind, ulong from, ulong term, ulong last, ulong lastTerm)
    {
        node.Step(new RaftMessage { Kind = kind, From = new ReplicaId(from), Term = new Term(term), Index = new LogIndex(last), LogTerm = new Term(lastTerm) });
        RaftMessage[] answers = [.. node.Ready().Where(message => message.Kind is RaftMessageKind.VoteResponse or RaftMessageKind.PreVoteResponse)];
        return string.Join(' ', answers.Select(answer => $"{(answer.Reject ? "no" : "yes")} {answer.Term.Value}"));
    }
}
