using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>What a replica makes of its disk, and the contract of a Ready with its host.</summary>
public sealed class RecoveryTests
{
    [Fact]
    public void A_replica_starts_with_what_its_disk_says()
    {
        RaftNode node = Start(new RaftRecoveredState
        {
            HardState = new HardState(new Term(5), new ReplicaId(2), new LogIndex(8)),
            BoundaryIndex = new LogIndex(6),
            BoundaryTerm = new Term(3),
            Entries = SingleNode.Entries(7, 3, 4, 5),
            Applied = new LogIndex(7),
        });
        (node.Term, node.CommitIndex, node.AppliedIndex, node.FirstIndex, node.LastIndex, node.LastTerm, node.StableIndex).Should().Be(
            (new Term(5), new LogIndex(8), new LogIndex(7), new LogIndex(7), new LogIndex(9), new Term(5), new LogIndex(9)));
        node.State.Should().Be(RaftRole.Follower);
        node.EntriesAbove(new LogIndex(7)).Length.Should().Be(2);
        node.TakeReady().Committed.Span[0].Index.Should().Be(new LogIndex(8));
    }

    [Fact]
    public void A_replica_with_nothing_to_do_has_no_ready()
    {
        Start(new RaftRecoveredState { HardState = new HardState(new Term(2), new ReplicaId(3), default), Entries = SingleNode.Entries(1, 2) }).HasReady.Should().BeFalse();
        Start(RaftRecoveredState.Empty).HasReady.Should().BeFalse();
    }

    [Fact]
    public void The_commit_is_never_beyond_the_log_nor_below_what_is_applied()
    {
        Start(SingleNode.Disk(1, 9, 1, 1)).CommitIndex.Should().Be(new LogIndex(2));
        Start(SingleNode.Disk(1, 0, 1, 1) with { Applied = new LogIndex(1) }).CommitIndex.Should().Be(new LogIndex(1));
    }

    [Fact]
    public void Entries_of_a_later_term_than_the_hard_state_bring_their_term_and_no_vote()
    {
        SingleNode torn = new(recovered: SingleNode.Disk(2, 0, 1, 3) with { HardState = new HardState(new Term(2), new ReplicaId(3), default) });
        torn.Node.Term.Should().Be(new Term(3));
        torn.Step(new RaftMessage { Kind = RaftMessageKind.Vote, From = new ReplicaId(2), Term = new Term(3), Index = new LogIndex(2), LogTerm = new Term(3) });
        torn.Ready().Single().Reject.Should().BeFalse("a vote of term 2 binds nobody in term 3");

        SingleNode whole = new(recovered: SingleNode.Disk(3, 0, 1, 3) with { HardState = new HardState(new Term(3), new ReplicaId(3), default) });
        whole.Step(new RaftMessage { Kind = RaftMessageKind.Vote, From = new ReplicaId(2), Term = new Term(3), Index = new LogIndex(2), LogTerm = new Term(3) });
        whole.Ready().Single().Reject.Should().BeTrue();
    }

    [Fact]
    public void A_disk_that_contradicts_itself_breaks_an_invariant()
    {
        var behind = new RaftRecoveredState { BoundaryIndex = new LogIndex(5), BoundaryTerm = new Term(1), Applied = new LogIndex(4) };
        Breaks(() => Start(behind));
        Breaks(() => Start(SingleNode.Disk(1, 0, 1) with { Applied = new LogIndex(2) }));
        Breaks(() => new RaftNode(SingleNode.Options, default, new MembershipConfig([new(1)]), RaftRecoveredState.Empty, new Random(1)));
    }

    [Fact]
    public void Committed_entries_are_handed_out_once_and_more_only_after_they_are_applied()
    {
        SingleNode node = new(SingleNode.Options with { MaxCommittedBytesPerReady = 48 }, recovered: SingleNode.Disk(1, 3, 1, 1, 1));
        node.Ready();
        node.Committed.Should().HaveCount(2);
        node.Ready();
        node.Committed.Should().HaveCount(2);
        node.Node.NextEntriesAvailable.Should().BeFalse();
        node.Node.OnApplied(new LogIndex(1));
        node.Node.NextEntriesAvailable.Should().BeFalse();
        node.Node.OnApplied(new LogIndex(2));
        node.Ready();
        node.Committed.Select(entry => entry.Index.Value).Should().Equal(1, 2, 3);
        Breaks(() => node.Node.OnApplied(new LogIndex(4)));
        Breaks(() => node.Node.OnApplied(new LogIndex(1)));
        node.Node.OnApplied(new LogIndex(2));
    }

    [Fact]
    public void Nothing_is_dropped_that_is_not_applied_and_durable()
    {
        SingleNode node = new(recovered: SingleNode.Disk(1, 2, 1, 1, 1));
        node.Ready();
        node.Node.Compact(new LogIndex(3)).Should().Be(LogIndex.Zero, "nothing is applied");
        node.Node.OnApplied(new LogIndex(2));
        node.Node.Compact(new LogIndex(1)).Should().Be(new LogIndex(1));
        node.Node.Compact(new LogIndex(3)).Should().Be(new LogIndex(2));
        node.Node.Compact(new LogIndex(1)).Should().Be(new LogIndex(2));
        node.Node.TermAt(new LogIndex(1)).Should().Be(TermLookup.Compacted);

        SingleNode slow = SingleNode.Follower(1);
        slow.SlowDisk = true;
        slow.Append(1, 0, 0, 2, SingleNode.Entries(1, 1, 1));
        slow.Ready();
        slow.Apply();
        slow.Node.Compact(new LogIndex(2)).Should().Be(LogIndex.Zero, "nothing is durable");
        slow.Node.OnPersisted(new LogIndex(2), new Term(1));
        slow.Node.Compact(new LogIndex(2)).Should().Be(new LogIndex(2));
    }

    [Fact]
    public void A_commit_alone_forces_no_sync_while_terms_votes_and_entries_do()
    {
        SingleNode node = SingleNode.Follower(2, SingleNode.Disk(2, 0, 2));
        node.Step(new RaftMessage { Kind = RaftMessageKind.Heartbeat, From = new ReplicaId(2), Term = new Term(2), Commit = new LogIndex(1) });
        node.Ready();
        (node.HardState, node.MustSync).Should().Be((new HardState(new Term(2), default, new LogIndex(1)), false));
        node.Append(2, 1, 2, 1, SingleNode.Entries(2, 2));
        node.Ready();
        (node.HardState, node.MustSync).Should().Be((null, true));
        node.Step(RaftMessageKind.AppendResponse, 3, 4);
        node.Ready();
        (node.HardState!.Value.Term, node.MustSync).Should().Be((new Term(4), true));
        node.Step(new RaftMessage { Kind = RaftMessageKind.Vote, From = new ReplicaId(3), Term = new Term(4), Index = new LogIndex(9), LogTerm = new Term(4) });
        node.Ready();
        (node.HardState!.Value.Vote, node.MustSync).Should().Be((new ReplicaId(3), true));
        node.Ready();
        (node.HardState, node.MustSync).Should().Be((null, false));
    }

    [Fact]
    public void A_change_of_leader_is_told_once()
    {
        SingleNode node = new();
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        node.Node.TakeReady().LeadershipChanged.Should().Be(new LeadershipChange(new ReplicaId(2), new Term(3), RaftRole.Follower));
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        node.Node.TakeReady().LeadershipChanged.Should().BeNull();
    }

    [Fact]
    public void Whoever_does_not_lead_says_so()
    {
        SingleNode node = new(recovered: SingleNode.Disk(3, 0));
        node.Node.Propose(new byte[1], out Term term, out LogIndex index).Should().Be(ProposeResult.NotLeader);
        (term, index).Should().Be((new Term(3), LogIndex.Zero));
        node.Node.ReadIndex(1).Should().Be(ReadResult.NotLeader);
        node.Node.TransferLeadership(new ReplicaId(2)).Should().BeFalse();
        node.Node.HasQuorumContact.Should().BeFalse();
        node.Node.DescribeProgress().Should().BeEmpty();
        node.Node.ReportSnapshotSent(new ReplicaId(2), new LogIndex(1));
        node.Node.ReportSnapshotFailed(new ReplicaId(2), new LogIndex(1));
        node.Ready().Should().BeEmpty();
    }

    [Fact]
    public void More_messages_than_the_list_began_with_are_kept_in_order_and_let_go_of_afterwards()
    {
        var list = new MessageList();
        for (ulong i = 1; i <= 40; i++)
        {
            list.Add().Round = i;
        }

        list.Span.ToArray().Select(message => message.Round).Should().Equal(Enumerable.Range(1, 40).Select(i => (ulong)i));
        list.Clear();
        list.Count.Should().Be(0);
        list.Add().Round.Should().Be(0, "a new message is empty");
    }

    private static RaftNode Start(RaftRecoveredState recovered) =>
        new(SingleNode.Options, new ReplicaId(1), new MembershipConfig([new(1), new(2), new(3)]), recovered, new Random(1));

    private static void Breaks(Action act) => act.Should().Throw<InvariantViolationException>();

    private static void Breaks<T>(Func<T> act) => act.Invoking(it => it()).Should().Throw<InvariantViolationException>();
}
