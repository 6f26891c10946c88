using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>A leader's duties: contact with its quorum, proposals, commit, reads, and handing over.</summary>
public sealed class LeaderTests
{
    private static readonly RaftOptions Patient = SingleNode.Options with { ElectionTicksMax = 20 };

    [Fact]
    public void A_leader_that_hears_no_quorum_for_the_longest_timeout_steps_down()
    {
        SingleNode leader = SingleNode.Leader();
        leader.Tick(9);
        leader.Node.State.Should().Be(RaftRole.Leader);
        leader.Beats(2);
        leader.Tick(9);
        leader.Node.State.Should().Be(RaftRole.Leader);
        leader.Tick(1);
        (leader.Node.State, leader.Node.Leader.IsNone, leader.Node.Term).Should().Be((RaftRole.Follower, true, new Term(1)));
    }

    [Fact]
    public void Quorum_contact_ends_with_the_shortest_timeout()
    {
        SingleNode leader = SingleNode.Leader(Patient);
        leader.Tick(9);
        leader.Node.HasQuorumContact.Should().BeTrue();
        leader.Tick(1);
        leader.Node.HasQuorumContact.Should().BeFalse();
        leader.Node.State.Should().Be(RaftRole.Leader);
        leader.Accepts(3, 1);
        leader.Node.HasQuorumContact.Should().BeTrue();
    }

    [Fact]
    public void Who_is_no_voter_is_no_contact()
    {
        SingleNode leader = SingleNode.Leader(learners: 1);
        leader.Tick(9);
        leader.Beats(4);
        leader.Tick(1);
        leader.Node.State.Should().Be(RaftRole.Follower);
    }

    [Fact]
    public void Heartbeats_go_to_all_others_every_few_ticks_with_a_commit_they_surely_have()
    {
        SingleNode leader = SingleNode.Leader();
        leader.Propose();
        leader.Ready();
        leader.Accepts(2, 2);
        leader.Ready();
        leader.Tick(2);
        leader.Ready().Should().BeEmpty();
        leader.Tick(1);
        leader.Ready().Select(beat => (beat.Kind, beat.To.Value, beat.Commit.Value, beat.Round)).Should().Equal(
            (RaftMessageKind.Heartbeat, 2, 2, 0), (RaftMessageKind.Heartbeat, 3, 1, 0));
        leader.Tick(2);
        leader.Ready().Should().BeEmpty();
        leader.Tick(1);
        leader.Ready().Should().HaveCount(2);
    }

    [Fact]
    public void A_new_leader_commits_older_entries_only_with_one_of_its_own()
    {
        SingleNode leader = new(recovered: SingleNode.Disk(1, 0, 1, 1));
        leader.Elect();
        leader.Node.Term.Should().Be(new Term(2));
        leader.Accepts(2, 2);
        leader.Node.CommitIndex.Should().Be(LogIndex.Zero);
        leader.Accepts(2, 3);
        leader.Node.CommitIndex.Should().Be(new LogIndex(3));
    }

    [Fact]
    public void The_others_may_commit_before_the_leaders_own_disk_does()
    {
        SingleNode leader = SingleNode.Leader(voters: 5);
        leader.SlowDisk = true;
        LogIndex index = leader.Propose();
        leader.Ready();
        leader.Accepts(2, index.Value);
        leader.Accepts(3, index.Value);
        leader.Node.CommitIndex.Should().Be(new LogIndex(1), "its own copy does not count yet");
        leader.Node.OnPersisted(index, leader.Node.Term);
        leader.Node.CommitIndex.Should().Be(index);
        index = leader.Propose();
        leader.Ready();
        leader.Accepts(2, index.Value);
        leader.Accepts(3, index.Value);
        leader.Accepts(4, index.Value);
        leader.Node.CommitIndex.Should().Be(index);
        leader.Node.StableIndex.Should().Be(index.Previous);
    }

    [Fact]
    public void One_entry_is_always_let_in_and_others_while_they_fit()
    {
        SingleNode leader = SingleNode.Leader(SingleNode.Options with { MaxUncommittedBytes = 100 });
        LogIndex first = leader.Propose(bytes: 500);
        Refused(leader, 0);
        leader.Ready();
        leader.Accepts(2, first.Value);

        leader.Propose(bytes: 26);
        Refused(leader, 27);
        LogIndex second = leader.Propose(bytes: 26);
        Refused(leader, 0);
        leader.Ready();
        leader.Accepts(2, second.Value - 1);
        Refused(leader, 27);
        leader.Propose(bytes: 26).Should().Be(second.Next);
    }

    [Fact]
    public void What_a_new_leader_finds_uncommitted_counts_too()
    {
        SingleNode leader = new(SingleNode.Options with { MaxUncommittedBytes = 100 }, recovered: SingleNode.Disk(1, 1, 1, 1, 1));
        leader.Elect();
        Refused(leader, 5);
        leader.Propose(bytes: 4);
        leader.Ready();
        leader.Accepts(2, 5);
        leader.Node.CommitIndex.Should().Be(new LogIndex(5));
        leader.Propose(bytes: 500);
    }

    [Fact]
    public void Leadership_is_handed_to_another_voter_only_and_to_one_at_a_time()
    {
        SingleNode leader = SingleNode.Leader(learners: 1);
        Transfers(leader, 1).Should().BeFalse();
        Transfers(leader, 4).Should().BeFalse();
        Transfers(leader, 9).Should().BeFalse();
        leader.Propose();
        Transfers(leader, 2).Should().BeTrue();
        Transfers(leader, 3).Should().BeFalse();
    }

    [Fact]
    public void A_transfer_to_whoever_has_everything_takes_effect_at_once()
    {
        SingleNode leader = SingleNode.Leader();
        leader.Node.IsTransferring.Should().BeFalse();
        Transfers(leader, 2).Should().BeTrue();
        leader.Node.IsTransferring.Should().BeTrue();
        leader.Ready().Where(message => message.Kind == RaftMessageKind.TimeoutNow).Select(message => message.To.Value).Should().Equal(2);
        Refused(leader, 1);
        leader.Node.HasQuorumContact.Should().BeFalse();
    }

    [Fact]
    public void A_transfer_waits_until_its_target_has_everything()
    {
        SingleNode leader = SingleNode.Leader();
        LogIndex index = leader.Propose();
        leader.Ready();
        leader.Tick(1);
        Transfers(leader, 3).Should().BeTrue();
        leader.Ready().Should().Contain(message => message.Kind == RaftMessageKind.Append && message.To.Value == 3, "it is asked what it has");
        leader.Accepts(2, index.Value);
        leader.Ready().Should().NotContain(message => message.Kind == RaftMessageKind.TimeoutNow);
        leader.Accepts(3, index.Value);
        leader.Ready().Should().Contain(message => message.Kind == RaftMessageKind.TimeoutNow && message.To.Value == 3);
    }

    [Fact]
    public void A_transfer_that_takes_too_long_is_given_up_and_another_may_begin()
    {
        SingleNode leader = SingleNode.Leader();
        for (int round = 0; round < 2; round++)
        {
            leader.Beats(2);
            Transfers(leader, 3).Should().BeTrue();
            leader.Tick(5);
            leader.Beats(2);
            leader.Tick(4);
            Refused(leader, 1);
            leader.Tick(1);
            leader.Node.HasQuorumContact.Should().BeTrue();
        }

        leader.Propose();
    }

    [Fact]
    public void A_transfer_does_not_outlive_the_leadership()
    {
        SingleNode leader = SingleNode.Leader();
        Transfers(leader, 2);
        leader.Step(RaftMessageKind.Heartbeat, 3, 2);
        leader.Ready();
        leader.Tick(10);
        leader.Elect();
        leader.Node.State.Should().Be(RaftRole.Leader);
        leader.Propose();
    }

    [Fact]
    public void A_read_is_answered_when_a_quorum_confirms_its_round()
    {
        SingleNode leader = SingleNode.Leader(learners: 1);
        leader.Node.ReadIndex(7).Should().Be(ReadResult.Accepted);
        leader.Node.HasReady.Should().BeTrue();
        leader.Ready().Select(beat => (beat.To.Value, beat.Round)).Should().Equal((2, 1), (3, 1), (4, 1));
        leader.Beats(4, 1);
        leader.Beats(2, 0);
        leader.Beats(3, 99);
        leader.Ready();
        leader.Reads.Should().BeEmpty();
        leader.Beats(2, 1);
        leader.Ready();
        leader.Reads.Should().Equal(new ReadState(7, new LogIndex(1), false));
    }

    [Fact]
    public void An_old_round_confirms_no_newer_read()
    {
        SingleNode leader = SingleNode.Leader(voters: 5);
        leader.Node.ReadIndex(1);
        leader.Ready();
        leader.Node.ReadIndex(2);
        leader.Ready();
        leader.Beats(2, 2);
        leader.Beats(2, 1);
        leader.Beats(3, 1);
        leader.Ready();
        leader.Reads.Select(read => read.Context).Should().Equal(1);
        leader.Beats(4, 2);
        leader.Ready();
        leader.Reads.Select(read => read.Context).Should().Equal(1, 2);
    }

    [Fact]
    public void Reads_wait_for_the_first_commit_of_the_term_and_only_so_many_do()
    {
        SingleNode leader = new(SingleNode.Options with { MaxPendingReads = 1 });
        leader.Elect();
        leader.Node.ReadIndex(1).Should().Be(ReadResult.Accepted);
        leader.Node.ReadIndex(2).Should().Be(ReadResult.Overloaded);
        leader.Node.HasReady.Should().BeFalse();
        leader.Accepts(2, 1);
        leader.Ready().Should().Contain(message => message.Kind == RaftMessageKind.Heartbeat && message.Round == 1);
    }

    [Fact]
    public void A_single_voter_answers_its_reads_alone()
    {
        SingleNode leader = new(voters: 1);
        leader.Elect();
        leader.Node.ReadIndex(1);
        leader.Ready();
        leader.Reads.Should().Equal(new ReadState(1, new LogIndex(1), false));
        leader.Tick(100);
        leader.Node.State.Should().Be(RaftRole.Leader);
    }

    [Fact]
    public void Reads_of_a_leader_that_steps_down_are_aborted()
    {
        SingleNode leader = SingleNode.Leader();
        leader.Node.ReadIndex(7);
        leader.Tick(10);
        leader.Ready();
        leader.Reads.Should().Equal(new ReadState(7, default, true));
        leader.Ready().Should().BeEmpty();
    }

    [Fact]
    public void A_transfer_is_asked_for_once_and_wakes_a_follower_that_is_probed()
    {
        SingleNode leader = new();
        leader.Elect();
        Transfers(leader, 3).Should().BeTrue();
        leader.Ready().Should().Contain(message => message.Kind == RaftMessageKind.Append && message.To.Value == 3);
        leader.Accepts(3, 1);
        leader.Ready().Should().Contain(message => message.Kind == RaftMessageKind.TimeoutNow);
        leader.Accepts(3, 1);
        leader.Ready().Should().NotContain(message => message.Kind == RaftMessageKind.TimeoutNow);
    }

    [Fact]
    public void A_late_disk_of_a_leader_that_was_commits_nothing()
    {
        SingleNode leader = SingleNode.Leader();
        leader.SlowDisk = true;
        leader.Propose();
        leader.Ready();
        leader.Accepts(2, 2);
        leader.Step(RaftMessageKind.Heartbeat, 3, 2);
        leader.Node.OnPersisted(new LogIndex(2), new Term(1));
        leader.Node.CommitIndex.Should().Be(new LogIndex(1));
    }

    private static bool Transfers(SingleNode node, ulong to) => node.Node.TransferLeadership(new ReplicaId(to));

    private static void Refused(SingleNode node, int bytes)
    {
        node.Node.Propose(new byte[bytes], out _, out LogIndex index).Should().Be(ProposeResult.Overloaded);
        index.Should().Be(LogIndex.Zero);
    }
}
