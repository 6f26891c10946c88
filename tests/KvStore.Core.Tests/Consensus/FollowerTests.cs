using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>What a replica that doesn't lead does with one message, at the edges of its rules.</summary>
public sealed class FollowerTests
{
    [Fact]
    public void An_append_below_the_commit_is_answered_with_the_commit()
    {
        SingleNode node = SingleNode.Follower(2, SingleNode.Disk(2, 3, 1, 1, 2));
        node.Append(2, 1, 1, 3, SingleNode.Entries(2, 1));
        RaftMessage answer = node.Ready().Single();
        (answer.Kind, answer.Index, answer.Reject).Should().Be((RaftMessageKind.AppendResponse, new LogIndex(3), false));
    }

    [Fact]
    public void An_append_at_the_commit_is_looked_at()
    {
        SingleNode node = SingleNode.Follower(2, SingleNode.Disk(2, 3, 1, 1, 2));
        node.Append(2, 3, 2, 4, SingleNode.Entries(4, 2));
        node.Ready().Single().Index.Should().Be(new LogIndex(4));
        node.Node.CommitIndex.Should().Be(new LogIndex(4));
    }

    [Fact]
    public void The_commit_follows_only_what_this_append_has_confirmed()
    {
        SingleNode node = SingleNode.Follower(2, SingleNode.Disk(2, 0, 1, 1, 1));
        node.Append(2, 1, 1, 9);
        node.Node.CommitIndex.Should().Be(new LogIndex(1));
        node.Append(2, 1, 1, 9, SingleNode.Entries(2, 1));
        node.Node.CommitIndex.Should().Be(new LogIndex(2));
    }

    [Theory]
    [InlineData(2, 1, 1ul, 1ul)]
    [InlineData(4, 1, 1ul)]
    [InlineData(3, 2, 1ul)]
    [InlineData(3, 1, 2ul, 1ul)]
    [InlineData(3, 1, 4ul)]
    public void Entries_with_gaps_or_terms_that_no_leader_could_send_are_not_taken(ulong first, ulong afterTerm, params ulong[] terms)
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 0, 1, afterTerm));
        node.Append(3, 2, afterTerm, 0, SingleNode.Entries(first, terms));
        node.Ready().Should().BeEmpty();
        node.Node.LastIndex.Should().Be(new LogIndex(2));
    }

    [Fact]
    public void Entries_of_the_leaders_own_term_are_taken()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 0, 1, 1));
        node.Append(3, 2, 1, 0, SingleNode.Entries(3, 1, 3));
        node.Ready().Single().Index.Should().Be(new LogIndex(4));
    }

    [Fact]
    public void A_late_duplicate_never_shortens_the_log_and_a_conflict_replaces_the_rest()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 0, 1, 1, 1, 1));
        node.Append(3, 0, 0, 0, SingleNode.Entries(1, 1, 1));
        node.Ready().Single().Index.Should().Be(new LogIndex(2), "the answer speaks of what the append has shown");
        node.Node.LastIndex.Should().Be(new LogIndex(4));
        node.Replaced.Should().BeEmpty();

        node.Append(3, 0, 0, 0, SingleNode.Entries(1, 1, 1, 3));
        node.Ready();
        node.Node.LastIndex.Should().Be(new LogIndex(3));
        node.Replaced.Select(entry => entry.Index.Value).Should().Equal(3, 4);
    }

    [Fact]
    public void A_refusal_names_where_the_logs_could_meet()
    {
        SingleNode node = SingleNode.Follower(4, SingleNode.Disk(4, 0, 1, 1, 3, 3));
        node.Append(4, 4, 2, 0);
        Refusal(node).Should().Be((4, 2, 1));
        node.Append(4, 9, 4, 0);
        Refusal(node).Should().Be((9, 4, 3));
        node.Append(4, 1, 2, 0);
        Refusal(node).Should().Be((1, 0, 0), "the rejected entry itself is out of the question");
        node.Append(4, 0, 2, 0);
        Refusal(node).Should().Be((0, 0, 0));
    }

    [Fact]
    public void Below_the_boundary_a_refusal_knows_no_term()
    {
        SingleNode node = SingleNode.Follower(4, new RaftRecoveredState
        {
            HardState = new HardState(new Term(4), default, new LogIndex(7)),
            BoundaryIndex = new LogIndex(7),
            BoundaryTerm = new Term(3),
            Applied = new LogIndex(7),
        });
        node.Append(4, 7, 2, 0);
        Refusal(node).Should().Be((7, 6, 0));
    }

    [Fact]
    public void A_heartbeat_is_answered_with_its_round_and_moves_the_commit()
    {
        SingleNode node = SingleNode.Follower(2, SingleNode.Disk(2, 0, 1, 2));
        node.Step(new RaftMessage { Kind = RaftMessageKind.Heartbeat, From = new ReplicaId(2), Term = new Term(2), Commit = new LogIndex(2), Round = 7 });
        node.Node.CommitIndex.Should().Be(new LogIndex(2));
        RaftMessage answer = node.Ready().Single();
        (answer.Kind, answer.Round).Should().Be((RaftMessageKind.HeartbeatResponse, 7));
        node.Committed.Should().HaveCount(2);
    }

    [Fact]
    public void What_is_addressed_to_someone_else_is_not_for_us()
    {
        SingleNode node = new();
        node.Step(new RaftMessage { Kind = RaftMessageKind.Heartbeat, From = new ReplicaId(2), To = new ReplicaId(3), Term = new Term(5) });
        node.Node.Term.Should().Be(Term.Zero);
    }

    [Fact]
    public void Senders_who_live_in_the_past_learn_the_term_only_where_that_helps()
    {
        SingleNode node = SingleNode.Follower(5);
        foreach (RaftMessageKind kind in (RaftMessageKind[])[RaftMessageKind.Append, RaftMessageKind.Heartbeat, RaftMessageKind.Snapshot])
        {
            node.Step(kind, 3, 4);
            RaftMessage notice = node.Ready().Single();
            (notice.Kind, notice.To, notice.Term, notice.Reject).Should().Be((RaftMessageKind.AppendResponse, new ReplicaId(3), new Term(5), true));
        }

        node.Step(RaftMessageKind.PreVote, 3, 4);
        RaftMessage refusal = node.Ready().Single();
        (refusal.Kind, refusal.Term, refusal.Reject).Should().Be((RaftMessageKind.PreVoteResponse, new Term(5), true));
        node.Step(RaftMessageKind.Vote, 3, 4);
        node.Step(RaftMessageKind.AppendResponse, 3, 4);
        node.Ready().Should().BeEmpty();
        node.Node.Leader.Should().Be(new ReplicaId(2));
    }

    [Fact]
    public void A_snapshot_is_wanted_only_if_it_brings_this_replica_forward()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 2, 1, 1, 2, 2));
        Wants(node, term: 3, index: 9, indexTerm: 3).Should().BeTrue();
        Wants(node, term: 4, index: 9, indexTerm: 3).Should().BeTrue();
        Wants(node, term: 2, index: 9, indexTerm: 2).Should().BeFalse("it is of an older leader");
        Wants(node, term: 3, index: 2, indexTerm: 3).Should().BeFalse("that is committed");
        Wants(node, term: 3, index: 3, indexTerm: 3).Should().BeTrue();
        Wants(node, term: 3, index: 3, indexTerm: 2).Should().BeFalse("the log has that");
        node.Node.WouldAcceptSnapshot(new ReplicaId(1), new Term(3), new LogIndex(9), new Term(3)).Should().BeFalse("it is its own");
        Wants(SingleNode.Leader(), term: 1, index: 9, indexTerm: 1).Should().BeFalse("a leader lacks nothing");
    }

    [Fact]
    public void A_refused_snapshot_commits_what_it_shows_to_be_committed()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 1, 1, 1, 2, 2));
        node.Node.RefuseSnapshot(new ReplicaId(2), new LogIndex(3), new Term(1));
        node.Ready().Single().Index.Should().Be(new LogIndex(1));
        node.Node.RefuseSnapshot(new ReplicaId(2), new LogIndex(3), new Term(2));
        node.Ready().Single().Index.Should().Be(new LogIndex(3));
        node.Node.CommitIndex.Should().Be(new LogIndex(3));

        SingleNode leader = SingleNode.Leader();
        leader.Node.RefuseSnapshot(new ReplicaId(2), new LogIndex(1), new Term(1));
        leader.Ready().Should().BeEmpty();
    }

    [Fact]
    public void While_a_snapshot_is_installed_the_log_stands_still()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 1, 1, 1, 2, 2));
        node.Apply();
        Begins(node, term: 3, index: 9).Should().BeTrue();
        node.Node.IsInstallingSnapshot.Should().BeTrue();
        Wants(node, term: 3, index: 10, indexTerm: 3).Should().BeFalse("one at a time");

        node.Append(3, 4, 2, 4, SingleNode.Entries(5, 3));
        node.Ready().Should().BeEmpty();
        node.Step(new RaftMessage { Kind = RaftMessageKind.Heartbeat, From = new ReplicaId(2), Term = new Term(3), Commit = new LogIndex(4) });
        node.Ready().Single().Kind.Should().Be(RaftMessageKind.HeartbeatResponse);
        node.Node.RefuseSnapshot(new ReplicaId(2), new LogIndex(4), new Term(2));
        node.Node.CommitIndex.Should().Be(new LogIndex(1));
        node.Node.NextEntriesAvailable.Should().BeFalse();
        node.Node.Campaign();
        node.Node.State.Should().Be(RaftRole.Follower);
    }

    [Fact]
    public void An_installation_waits_until_all_that_was_handed_out_is_applied()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 1, 1, 1));
        Begins(node, term: 3, index: 9).Should().BeFalse();
        node.Node.IsInstallingSnapshot.Should().BeFalse();
        node.Apply();
        Begins(node, term: 2, index: 9).Should().BeFalse();
        Begins(node, term: 5, index: 9).Should().BeTrue();
        (node.Node.Term, node.Node.Leader).Should().Be((new Term(5), new ReplicaId(2)));
    }

    [Fact]
    public void A_candidate_that_begins_an_installation_follows_the_sender()
    {
        SingleNode node = new(recovered: SingleNode.Disk(3, 0, 1));
        node.Node.Campaign();
        node.Node.State.Should().Be(RaftRole.PreCandidate);
        Begins(node, term: 3, index: 9).Should().BeTrue();
        (node.Node.State, node.Node.Leader).Should().Be((RaftRole.Follower, new ReplicaId(2)));
    }

    [Fact]
    public void An_installation_that_begins_is_a_sign_of_life_of_the_leader()
    {
        SingleNode node = new(SingleNode.Options with { ElectionTicksMax = 100_000 });
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        node.Ready();
        node.Tick(9);
        Begins(node, term: 3, index: 9).Should().BeTrue();
        node.Tick(5);
        node.Step(RaftMessageKind.PreVote, 3, 4);
        node.Ready().Should().BeEmpty("the lease holds");
    }

    [Fact]
    public void What_is_committed_is_not_handed_out_while_a_snapshot_is_installed()
    {
        SingleNode node = new(recovered: SingleNode.Disk(3, 1, 1, 1));
        node.Node.NextEntriesAvailable.Should().BeTrue();
        Begins(node, term: 3, index: 9).Should().BeTrue();
        node.Node.NextEntriesAvailable.Should().BeFalse();
    }

    [Fact]
    public void An_installed_snapshot_brings_its_configuration_and_voids_the_rest_of_the_log()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 1, 1, 1, 2));
        node.Apply();
        Begins(node, term: 3, index: 9).Should().BeTrue();
        var members = new MembershipConfig([new(1), new(2)]);
        FluentActions.Invoking(() => node.Node.OnSnapshotInstalled(new LogIndex(8), new Term(3), new ReplicaId(2), new Term(3), members)).Should().Throw<InvariantViolationException>();
        FluentActions.Invoking(() => node.Node.OnSnapshotInstalled(new LogIndex(9), new Term(3), new ReplicaId(2), new Term(4), members)).Should().Throw<InvariantViolationException>();
        node.Node.OnSnapshotInstalled(new LogIndex(9), new Term(3), new ReplicaId(2), new Term(3), members);
        node.Ready().Single().Index.Should().Be(new LogIndex(9));
        node.Node.Members.Should().BeSameAs(members);
        node.Replaced.Select(entry => entry.Index.Value).Should().Equal(2, 3);
        (node.Node.CommitIndex, node.Node.AppliedIndex, node.Node.LastIndex).Should().Be((new LogIndex(9), new LogIndex(9), new LogIndex(9)));
    }

    private static bool Begins(SingleNode node, ulong term, ulong index) => node.Node.BeginSnapshotInstall(new ReplicaId(2), new Term(term), new LogIndex(index), new Term(term));

    private static bool Wants(SingleNode node, ulong term, ulong index, ulong indexTerm) =>
        node.Node.WouldAcceptSnapshot(new ReplicaId(2), new Term(term), new LogIndex(index), new Term(indexTerm));

    private static (ulong Rejected, ulong Hint, ulong HintTerm) Refusal(SingleNode node)
    {
        RaftMessage answer = node.Ready().Single();
        answer.Reject.Should().BeTrue();
        answer.Kind.Should().Be(RaftMessageKind.AppendResponse);
        return (answer.Index.Value, answer.Hint.Value, answer.LogTerm.Value);
    }
}
