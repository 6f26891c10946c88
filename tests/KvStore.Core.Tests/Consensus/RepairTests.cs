using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>A replica whose log was found damaged, and a leader that repairs one.</summary>
public sealed class RepairTests
{
    [Fact]
    public void A_damaged_replica_neither_votes_nor_campaigns_nor_acknowledges_nor_reads()
    {
        SingleNode node = Damaged();
        node.Node.IsQuarantined.Should().BeTrue();
        node.Node.Campaign();
        node.Node.State.Should().Be(RaftRole.Follower);
        node.Step(new RaftMessage { Kind = RaftMessageKind.Vote, From = new ReplicaId(3), Term = new Term(4), Index = new LogIndex(9), LogTerm = new Term(4), Round = Election.TransferMark });
        node.Ready().Single().Reject.Should().BeTrue();

        node = Damaged();
        node.Append(3, 2, 1, 2, SingleNode.Entries(3, 3));
        (RaftMessageKind Kind, bool LogIsVoid) told = Told(node);
        told.Should().Be((RaftMessageKind.Damaged, true));
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        Told(node).Should().Be((RaftMessageKind.Damaged, true));
        node.Node.RefuseSnapshot(new ReplicaId(2), new LogIndex(2), new Term(1));
        Told(node).Should().Be((RaftMessageKind.Damaged, true));
        node.Node.ReadIndex(1).Should().Be(ReadResult.NotLeader);
        node.Node.LastIndex.Should().Be(new LogIndex(2));
    }

    [Fact]
    public void Acknowledgements_that_have_not_left_never_leave()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 0, 1, 1));
        node.Append(3, 2, 1, 0, SingleNode.Entries(3, 3));
        node.Node.Quarantine();
        node.Ready().Should().BeEmpty();
    }

    [Fact]
    public void A_leader_that_is_damaged_steps_down()
    {
        SingleNode leader = SingleNode.Leader();
        leader.Node.Quarantine();
        (leader.Node.State, leader.Node.Leader.IsNone, leader.Node.IsQuarantined).Should().Be((RaftRole.Follower, true, true));
    }

    [Fact]
    public void A_snapshot_makes_the_log_sound_and_the_leaders_word_makes_the_replica_whole()
    {
        SingleNode node = Damaged();
        node.Append(3, 2, 1, 0);
        ulong repair = node.Ready().Single().Round;
        node.Node.WouldAcceptSnapshot(new ReplicaId(2), new Term(3), new LogIndex(1), new Term(1)).Should().BeTrue("even one at what is committed");
        Install(node, 5);
        RaftMessage answer = node.Ready().Single();
        (answer.Index.Value, answer.Round).Should().Be((5, repair));
        node.Node.IsQuarantined.Should().BeTrue();

        node.Append(3, 5, 3, 0, SingleNode.Entries(6, 3));
        Told(node).Should().Be((RaftMessageKind.Damaged, false), "this append is not of the repair");
        Repairs(node, repair, until: 7, SingleNode.Entries(6, 3));
        node.Ready().Single().Index.Should().Be(new LogIndex(6));
        node.Node.IsQuarantined.Should().BeTrue("it may have acknowledged one more");
        Repairs(node, repair, until: 7, SingleNode.Entries(6, 3, 3));
        node.Ready();
        node.Node.IsQuarantined.Should().BeFalse();
    }

    [Fact]
    public void What_a_damaged_member_had_counts_no_more_until_it_has_it_again()
    {
        SingleNode leader = SingleNode.Leader();
        leader.Propose();
        leader.Ready();
        leader.Accepts(3, 2);
        leader.Ready();
        Reports(leader, 3, repair: 9, logIsVoid: true);
        leader.Ready();
        leader.SnapshotsWanted.Should().Equal(new ReplicaId(3));
        Match(leader, 3).Should().Be(0);
        leader.Node.TransferLeadership(new ReplicaId(3)).Should().BeFalse();

        LogIndex index = leader.Propose();
        leader.Ready();
        leader.Accepts(3, index.Value);
        leader.Node.CommitIndex.Should().Be(new LogIndex(2), "that is from before the damage");
        Match(leader, 3).Should().Be(0);
        Reports(leader, 3, repair: 9, logIsVoid: true);
        leader.Ready();
        leader.SnapshotsWanted.Should().HaveCount(1, "it is on its way");

        leader.Node.ReportSnapshotSent(new ReplicaId(3), new LogIndex(1));
        Repaired(leader, 3, 1, repair: 9);
        leader.Node.TransferLeadership(new ReplicaId(3)).Should().BeFalse("it lacks some yet");
        Reports(leader, 3, repair: 9, logIsVoid: false);
        RaftMessage append = leader.Ready().First(message => message.Kind == RaftMessageKind.Append && message.To.Value == 3);
        (append.Round, append.Hint.Value).Should().Be((9, 2));
        Repaired(leader, 3, index.Value, repair: 9);
        leader.Node.CommitIndex.Should().Be(index);
        leader.Node.TransferLeadership(new ReplicaId(3)).Should().BeTrue();
    }

    [Fact]
    public void A_repair_that_is_over_is_not_begun_again_by_a_late_report()
    {
        SingleNode leader = SingleNode.Leader();
        Reports(leader, 3, repair: 9, logIsVoid: true);
        leader.Ready();
        leader.Node.ReportSnapshotSent(new ReplicaId(3), new LogIndex(1));
        Repaired(leader, 3, 1, repair: 9);
        leader.Ready();
        Reports(leader, 3, repair: 9, logIsVoid: true);
        Match(leader, 3).Should().Be(1);
        Reports(leader, 3, repair: 9, logIsVoid: false);
        leader.Ready().Should().Contain(message => message.Kind == RaftMessageKind.Append && message.To.Value == 3 && message.Round == 9, "it does not know yet");
        Match(leader, 3).Should().Be(1);
        Reports(leader, 3, repair: 10, logIsVoid: true);
        Match(leader, 3).Should().Be(0, "that is another damage");
        Reports(leader, 8, repair: 10, logIsVoid: true);
    }

    [Fact]
    public void What_is_on_its_way_to_a_member_that_does_not_know_that_it_is_whole_is_sent_again()
    {
        SingleNode leader = SingleNode.Leader();
        Reports(leader, 3, repair: 9, logIsVoid: true);
        leader.Ready();
        leader.Node.ReportSnapshotSent(new ReplicaId(3), new LogIndex(1));
        Repaired(leader, 3, 1, repair: 9);
        leader.Ready();
        LogIndex index = leader.Propose();
        RaftMessage lost = ToThree();
        (lost.Index.Value, lost.Entries.Length, lost.Round).Should().Be((1, 1, 0), "it counts as whole, and gets what any member gets");

        Reports(leader, 3, repair: 9, logIsVoid: false);
        RaftMessage again = ToThree();
        (again.Index.Value, again.Entries.Length, again.Round).Should().Be((1, 1, 9), "it took no append but one of its repair");
        Repaired(leader, 3, index.Value, repair: 9);
        leader.Node.CommitIndex.Should().Be(index);

        RaftMessage ToThree() => leader.Ready().Single(message => message.Kind == RaftMessageKind.Append && message.To.Value == 3);
    }

    [Fact]
    public void A_member_under_repair_counts_neither_for_the_commit_nor_for_reads_nor_for_contact()
    {
        SingleNode leader = SingleNode.Leader();
        leader.Propose();
        leader.Propose();
        leader.Ready();
        Reports(leader, 3, repair: 9, logIsVoid: true);
        leader.Ready();
        leader.Node.ReportSnapshotSent(new ReplicaId(3), new LogIndex(1));
        Repaired(leader, 3, 1, repair: 9);
        Repaired(leader, 3, 2, repair: 9);
        leader.Node.CommitIndex.Should().Be(new LogIndex(1));

        leader.Node.ReadIndex(7);
        leader.Ready();
        leader.Beats(3, 1);
        leader.Ready();
        leader.Reads.Should().BeEmpty();

        leader.Tick(9);
        leader.Beats(3, 1);
        leader.Tick(1);
        leader.Node.HasQuorumContact.Should().BeFalse();
    }

    private static SingleNode Damaged()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 1, 1, 1));
        node.Apply();
        node.Node.Quarantine();
        node.Ready();
        return node;
    }

    private static (RaftMessageKind Kind, bool LogIsVoid) Told(SingleNode node)
    {
        RaftMessage notice = node.Ready().Single();
        notice.Round.Should().NotBe(0);
        return (notice.Kind, notice.Reject);
    }

    private static void Install(SingleNode node, ulong index)
    {
        ReplicaId leader = new(2);
        node.Node.BeginSnapshotInstall(leader, new Term(3), new LogIndex(index), new Term(3)).Should().BeTrue();
        node.Node.OnSnapshotInstalled(new LogIndex(index), new Term(3), leader, new Term(3), node.Node.Members);
    }

    private static void Repairs(SingleNode node, ulong repair, ulong until, Entry[] entries) => node.Step(new RaftMessage
    {
        Kind = RaftMessageKind.Append,
        From = new ReplicaId(2),
        Term = new Term(3),
        Index = new LogIndex(5),
        LogTerm = new Term(3),
        Entries = entries,
        Round = repair,
        Hint = new LogIndex(until),
    });

    private static void Reports(SingleNode leader, ulong from, ulong repair, bool logIsVoid) =>
        leader.Step(new RaftMessage { Kind = RaftMessageKind.Damaged, From = new ReplicaId(from), Term = leader.Node.Term, Round = repair, Reject = logIsVoid });

    private static void Repaired(SingleNode leader, ulong from, ulong index, ulong repair) =>
        leader.Step(new RaftMessage { Kind = RaftMessageKind.AppendResponse, From = new ReplicaId(from), Term = leader.Node.Term, Index = new LogIndex(index), Round = repair });

    private static ulong Match(SingleNode leader, ulong id) => leader.Node.DescribeProgress().Single(row => row.Id.Value == id).Match.Value;
}
