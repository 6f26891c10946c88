using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>When a leader lets the group be changed, and what it does when a change takes effect.</summary>
public sealed class MembershipRuleTests
{
    [Fact]
    public void A_leader_that_has_committed_nothing_of_its_term_changes_nothing()
    {
        SingleNode leader = new();
        leader.Elect();
        Proposes(leader, Group([1, 2, 3], [4])).Should().Be(ProposeResult.ChangePending);
        leader.Accepts(2, 1);
        Proposes(leader, Group([1, 2, 3], [4])).Should().Be(ProposeResult.Accepted);
        Proposes(SingleNode.Follower(3), Group([1, 2, 3], [4])).Should().Be(ProposeResult.NotLeader);
    }

    [Fact]
    public void What_is_there_already_joint_or_made_of_strangers_is_no_target()
    {
        SingleNode leader = SingleNode.Leader();
        Proposes(leader, Group([1, 2, 3])).Should().Be(ProposeResult.InvalidTarget);
        Proposes(leader, Group([1, 2, 3, 4])).Should().Be(ProposeResult.InvalidTarget);
        Proposes(leader, new MembershipConfig(Ids(1, 2), [], Ids(1, 2, 3))).Should().Be(ProposeResult.InvalidTarget);
        Proposes(leader, Group([1, 2])).Should().Be(ProposeResult.Accepted);
    }

    [Fact]
    public void One_change_at_a_time_until_it_is_applied()
    {
        SingleNode leader = SingleNode.Leader();
        Proposes(leader, Group([1, 2, 3], [4])).Should().Be(ProposeResult.Accepted);
        Proposes(leader, Group([1, 2, 3], [5])).Should().Be(ProposeResult.ChangePending);
        leader.Node.Members.Should().Be(Group([1, 2, 3]), "it takes effect when it is applied");
        Commit(leader, 2);
        leader.Node.Members.Should().Be(Group([1, 2, 3], [4]));
        Proposes(leader, Group([1, 2, 3])).Should().Be(ProposeResult.Accepted);
    }

    [Theory]
    [InlineData(1, "Accepted")]
    [InlineData(2, "Accepted")]
    [InlineData(3, "LearnerBehind")]
    public void A_learner_becomes_a_voter_only_when_it_lacks_little(int lag, string result)
    {
        SingleNode leader = SingleNode.Leader(SingleNode.Options with { MaxPromotionLag = 2 }, learners: 1);
        for (int i = 0; i < lag; i++)
        {
            leader.Propose();
        }

        leader.Ready();
        leader.Accepts(2, leader.Node.LastIndex.Value);
        Proposes(leader, Group([1, 2, 3, 4])).ToString().Should().Be(result);
    }

    [Theory]
    [InlineData(9, "Accepted")]
    [InlineData(10, "LearnerBehind")]
    public void A_silent_learner_does_not_become_a_voter(int ticks, string result)
    {
        SingleNode leader = SingleNode.Leader(learners: 1);
        leader.Tick(5);
        leader.Beats(2);
        leader.Tick(ticks - 5);
        Proposes(leader, Group([1, 2, 3, 4])).ToString().Should().Be(result);
    }

    [Fact]
    public void A_learner_that_was_never_heard_or_is_still_probed_does_not_become_a_voter()
    {
        SingleNode leader = new(learners: 1);
        leader.Elect();
        leader.Accepts(2, 1);
        leader.Ready();
        leader.Apply();
        Proposes(leader, Group([1, 2, 3, 4])).Should().Be(ProposeResult.LearnerBehind);
        leader.Beats(4);
        Proposes(leader, Group([1, 2, 3, 4])).Should().Be(ProposeResult.LearnerBehind);
        leader.Accepts(4, 1);
        Proposes(leader, Group([1, 2, 3, 4])).Should().Be(ProposeResult.Accepted);
    }

    [Fact]
    public void A_change_needs_room_and_waits_for_a_transfer_like_any_proposal()
    {
        SingleNode leader = SingleNode.Leader(SingleNode.Options with { MaxUncommittedBytes = 60 });
        leader.Propose(bytes: 20);
        Proposes(leader, Group([1, 2])).Should().Be(ProposeResult.Overloaded);
        SingleNode handing = SingleNode.Leader();
        handing.Node.TransferLeadership(new ReplicaId(2));
        Proposes(handing, Group([1, 2])).Should().Be(ProposeResult.Overloaded);
    }

    [Fact]
    public void A_new_member_is_asked_at_once_what_it_has()
    {
        SingleNode leader = SingleNode.Leader();
        Proposes(leader, Group([1, 2, 3], [4]));
        Commit(leader, 2);
        leader.Ready().Should().Contain(message => message.Kind == RaftMessageKind.Append && message.To.Value == 4);
        leader.Node.DescribeProgress().Single(row => row.Id.Value == 4).Match.Should().Be(LogIndex.Zero);
        leader.Node.DescribeProgress().Single(row => row.Id.Value == 2).Match.Should().Be(new LogIndex(2), "who stays keeps what is known of it");
    }

    [Fact]
    public void A_removed_member_is_told_a_last_time_and_counts_no_more()
    {
        SingleNode leader = SingleNode.Leader();
        Proposes(leader, Group([1, 2]));
        Commit(leader, 2);
        leader.Ready().Should().ContainSingle(message => message.To.Value == 3).Which.Kind.Should().Be(RaftMessageKind.Heartbeat);
        leader.Tick(3);
        leader.Ready().Should().NotContain(message => message.To.Value == 3);
        LogIndex index = leader.Propose();
        leader.Ready();
        leader.Accepts(3, index.Value);
        leader.Node.CommitIndex.Should().Be(index.Previous);
    }

    [Fact]
    public void A_smaller_group_commits_what_waited_for_the_larger_one()
    {
        SingleNode leader = SingleNode.Leader(voters: 2);
        Proposes(leader, Group([1]));
        leader.Ready();
        leader.Propose();
        leader.Accepts(2, 2);
        leader.Ready();
        leader.Node.CommitIndex.Should().Be(new LogIndex(2));
        Apply(leader);
        leader.Node.CommitIndex.Should().Be(new LogIndex(3));
    }

    [Fact]
    public void A_joint_group_is_left_by_its_leader_with_the_same_context()
    {
        SingleNode leader = SingleNode.Leader(learners: 2);
        leader.Node.ProposeMembership(Group([1, 4, 5]), "why"u8.ToArray(), out _, out _).Should().Be(ProposeResult.Accepted);
        leader.Ready();
        leader.Accepts(2, 2);
        leader.Ready();
        Apply(leader);
        leader.Node.Members.Should().Be(new MembershipConfig(Ids(1, 4, 5), [], Ids(1, 2, 3)));
        leader.Node.LastIndex.Should().Be(new LogIndex(3));
        MembershipEntry last = MembershipEntry.Decode(leader.Node.EntriesAbove(new LogIndex(2)).Span[0].Payload);
        last.Config.Should().Be(Group([1, 4, 5]));
        last.Context.ToArray().Should().Equal("why"u8.ToArray());

        leader.Ready();
        leader.Accepts(4, 3);
        leader.Node.CommitIndex.Should().Be(new LogIndex(2), "both majorities decide");
        leader.Accepts(2, 3);
        leader.Ready();
        Apply(leader);
        leader.Node.Members.Should().Be(Group([1, 4, 5]));
        leader.Node.LastIndex.Should().Be(new LogIndex(3));
    }

    [Fact]
    public void A_leader_that_is_removed_hands_over_to_who_has_most_and_steps_down()
    {
        SingleNode leader = SingleNode.Leader(voters: 4);
        Proposes(leader, Group([2, 3, 4]));
        leader.Ready();
        leader.Accepts(4, 2);
        leader.Accepts(3, 2);
        leader.Ready();
        leader.Tick(1);
        leader.Beats(4);
        Apply(leader);
        leader.Node.State.Should().Be(RaftRole.Follower);
        leader.Ready().Single(message => message.Kind == RaftMessageKind.TimeoutNow).To.Should().Be(new ReplicaId(4));
    }

    [Fact]
    public void A_transfer_to_who_is_no_voter_any_more_is_given_up()
    {
        SingleNode leader = SingleNode.Leader();
        Proposes(leader, Group([1, 2]));
        leader.Ready();
        leader.Accepts(2, 2);
        leader.Ready();
        leader.Node.TransferLeadership(new ReplicaId(3)).Should().BeTrue();
        Apply(leader);
        leader.Propose();
    }

    [Fact]
    public void A_replica_does_not_campaign_while_it_has_a_configuration_to_apply_and_takes_over_when_it_has()
    {
        SingleNode node = SingleNode.Follower(3);
        byte[] payload = MembershipEntry.Encode(Group([1, 2]), []);
        node.Append(3, 0, 0, 1, new Entry(new Term(3), new LogIndex(1), EntryKind.Configuration, payload));
        node.Ready();
        node.Node.Campaign();
        node.Node.State.Should().Be(RaftRole.Follower);

        // Whose timeout has passed knows no leader any more, until it is heard again.
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        node.Step(RaftMessageKind.TimeoutNow, 2, 3);
        node.Node.State.Should().Be(RaftRole.Follower);
        Apply(node);
        (node.Node.State, node.Node.Members).Should().Be((RaftRole.Candidate, Group([1, 2])));
    }

    [Fact]
    public void A_configuration_that_another_one_follows_is_committed_whatever_the_disk_says()
    {
        Entry Change(ulong index, MembershipConfig config) => new(new Term(1), new LogIndex(index), EntryKind.Configuration, MembershipEntry.Encode(config, []));
        SingleNode two = new(recovered: new RaftRecoveredState
        {
            HardState = new HardState(new Term(1), default, default),
            Entries = new[] { Change(1, Group([1, 2, 3], [4])), SingleNode.Entries(2, 1)[0], Change(3, Group([1, 2, 3])) },
        });
        two.Node.CommitIndex.Should().Be(new LogIndex(1));
        SingleNode one = new(recovered: new RaftRecoveredState
        {
            HardState = new HardState(new Term(1), default, default),
            Entries = new[] { SingleNode.Entries(1, 1)[0], Change(2, Group([1, 2])) },
        });
        one.Node.CommitIndex.Should().Be(LogIndex.Zero);
    }

    [Fact]
    public void Only_a_configuration_that_was_handed_out_and_not_yet_applied_takes_effect()
    {
        SingleNode leader = SingleNode.Leader();
        Proposes(leader, Group([1, 2]));
        leader.Ready();
        Entry change = leader.Node.EntriesAbove(new LogIndex(1)).Span[0];
        Breaks(() => leader.Node.ApplyMembership(change));
        leader.Accepts(2, 2);
        leader.Ready();
        Breaks(() => leader.Node.ApplyMembership(change with { Kind = EntryKind.Data }));
        leader.Node.ApplyMembership(change);
        Breaks(() => leader.Node.ApplyMembership(change));
        leader.Node.OnApplied(new LogIndex(2));
        Breaks(() => leader.Node.ApplyMembership(change));
    }

    [Fact]
    public void A_new_leader_knows_of_a_change_that_it_found_in_the_log()
    {
        SingleNode leader = new(recovered: new RaftRecoveredState
        {
            HardState = new HardState(new Term(1), default, default),
            Entries = new Entry[] { new(new Term(1), new LogIndex(1), EntryKind.Configuration, MembershipEntry.Encode(Group([1, 2, 3], [4]), [])) },
        });
        leader.Elect();
        leader.Accepts(2, 2);
        Proposes(leader, Group([1, 2])).Should().Be(ProposeResult.ChangePending);
    }

    [Fact]
    public void A_new_leader_of_a_joint_group_leads_it_out()
    {
        SingleNode leader = new(group: new MembershipConfig(Ids(1, 2, 3), [], Ids(1, 2, 4)));
        leader.Elect();
        leader.Node.LastIndex.Should().Be(new LogIndex(2));
        MembershipEntry.Decode(leader.Node.EntriesAbove(new LogIndex(1)).Span[0].Payload).Config.Should().Be(Group([1, 2, 3]));
    }

    [Fact]
    public void A_transfer_to_who_stays_a_voter_goes_on()
    {
        SingleNode leader = SingleNode.Leader();
        Proposes(leader, Group([1, 2]));
        leader.Ready();
        leader.Accepts(2, 2);
        leader.Ready();
        leader.Node.TransferLeadership(new ReplicaId(2)).Should().BeTrue();
        Apply(leader);
        leader.Node.Propose(new byte[1], out _, out _).Should().Be(ProposeResult.Overloaded);
    }

    [Fact]
    public void A_smaller_group_confirms_reads_that_waited_for_the_larger_one()
    {
        SingleNode leader = SingleNode.Leader(voters: 2);
        Proposes(leader, Group([1]));
        leader.Ready();
        leader.Accepts(2, 2);
        leader.Node.ReadIndex(7);
        leader.Ready();
        leader.Reads.Should().BeEmpty();
        Apply(leader);
        leader.Ready();
        leader.Reads.Should().Equal(new ReadState(7, new LogIndex(2), false));
    }

    [Fact]
    public void A_leader_that_is_removed_sends_what_it_has_before_it_goes()
    {
        SingleNode leader = SingleNode.Leader();
        Proposes(leader, Group([2, 3]));
        leader.Ready();
        leader.Accepts(2, 2);
        leader.Ready();
        leader.Propose();
        Apply(leader);
        leader.Ready().Should().Contain(message => message.Kind == RaftMessageKind.Append && message.To.Value == 2 && message.Entries.Length == 1);
    }

    [Fact]
    public void A_new_voter_is_given_time_to_be_heard()
    {
        SingleNode leader = SingleNode.Leader(voters: 1, learners: 1);
        leader.Tick(8);
        Proposes(leader, Group([1, 2])).Should().Be(ProposeResult.Accepted);
        leader.Ready();
        leader.Ready();
        Apply(leader);
        leader.Node.Members.Should().Be(Group([1, 2]));
        leader.Tick(9);
        leader.Node.State.Should().Be(RaftRole.Leader);
        leader.Tick(1);
        leader.Node.State.Should().Be(RaftRole.Follower);
    }

    [Fact]
    public void A_snapshot_that_a_member_wanted_and_was_removed_before_it_got_it_is_asked_of_nobody()
    {
        SingleNode leader = SingleNode.Leader();
        Proposes(leader, Group([1, 2])).Should().Be(ProposeResult.Accepted);
        leader.Ready();
        leader.Accepts(2, leader.Node.LastIndex.Value);
        leader.Ready();
        leader.Step(new RaftMessage { Kind = RaftMessageKind.Damaged, From = new ReplicaId(3), Term = leader.Node.Term, Round = 9, Reject = true });
        leader.Node.DescribeProgress().Single(row => row.Id.Value == 3).State.Should().Be(ProgressState.Snapshot, "it will be asked for with the next Ready");
        Apply(leader);

        leader.Ready();
        leader.Node.Members.Should().Be(Group([1, 2]));
        leader.SnapshotsWanted.Should().BeEmpty();
    }

    private static void Commit(SingleNode leader, ulong follower)
    {
        leader.Ready();
        leader.Accepts(follower, leader.Node.LastIndex.Value);
        leader.Ready();
        Apply(leader);
    }

    private static void Apply(SingleNode node)
    {
        foreach (Entry entry in node.Committed.Where(entry => entry.Index > node.Node.AppliedIndex).ToArray())
        {
            if (entry.Kind == EntryKind.Configuration)
            {
                node.Node.ApplyMembership(entry);
            }

            node.Node.OnApplied(entry.Index);
        }
    }

    private static ProposeResult Proposes(SingleNode node, MembershipConfig target) => node.Node.ProposeMembership(target, default, out _, out _);

    private static MembershipConfig Group(ulong[] voters, ulong[]? learners = null) => new(Ids(voters), Ids(learners ?? []));

    private static ReplicaId[] Ids(params ulong[] ids) => [.. ids.Select(id => new ReplicaId(id))];

    private static void Breaks(Action act) => act.Should().Throw<InvariantViolationException>();
}
