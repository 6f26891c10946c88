using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>How a leader brings its log to one follower: probing, the window, snapshots.</summary>
public sealed class ReplicationTests
{
    private static readonly RaftOptions Narrow = SingleNode.Options with { MaxInflightMessages = 2, MaxAppendBytes = 25, TellCommitWithHeartbeats = true };

    [Fact]
    public void A_follower_whose_log_is_unknown_gets_one_append_at_a_time()
    {
        SingleNode leader = new(recovered: SingleNode.Disk(1, 0, 1, 1));
        leader.Elect();
        leader.Propose();
        leader.Ready().Should().BeEmpty("the probe of the election is out");
        Row(leader, 2).Should().Be((0, 3, ProgressState.Probe));

        Rejects(leader, 2, rejected: 2, hint: 1, hintTerm: 1);
        Appends(leader, 2).Should().Equal((1, 3));
        Row(leader, 2).Should().Be((0, 2, ProgressState.Probe));
        Rejects(leader, 2, rejected: 2, hint: 0, hintTerm: 0);
        Appends(leader, 2).Should().BeEmpty("that answers a question of before");
        leader.Beats(2);
        Appends(leader, 2).Should().Equal([(1, 3)], "the probe may have been lost");

        leader.Accepts(2, 4);
        Row(leader, 2).Should().Be((4, 5, ProgressState.Replicate));
    }

    [Fact]
    public void A_refusal_of_a_probe_moves_back_to_where_the_logs_could_meet()
    {
        SingleNode leader = new(recovered: SingleNode.Disk(5, 0, 1, 1, 3, 5, 5));
        leader.Elect();
        Rejects(leader, 2, rejected: 5, hint: 4, hintTerm: 4);
        Appends(leader, 2).Should().Equal((3, 3));
        Rejects(leader, 2, rejected: 3, hint: 2, hintTerm: 2);
        Appends(leader, 2).Should().Equal((2, 4));
        Rejects(leader, 2, rejected: 2, hint: 0, hintTerm: 0);
        Appends(leader, 2).Should().Equal((0, 6));
    }

    [Fact]
    public void A_follower_in_step_gets_entries_as_they_come_within_the_window()
    {
        SingleNode leader = SingleNode.Leader(Narrow);
        for (int i = 0; i < 4; i++)
        {
            leader.Propose();
        }

        Appends(leader, 2).Should().Equal((1, 1), (2, 1));
        leader.Accepts(2, 2);
        Appends(leader, 2).Should().Equal((3, 1));
        leader.Accepts(2, 4);
        Appends(leader, 2).Should().Equal((4, 1));
        leader.Accepts(2, 5);
        Appends(leader, 2).Should().BeEmpty();
        Row(leader, 2).Should().Be((5, 6, ProgressState.Replicate));
        leader.Accepts(3, 2);
        Appends(leader, 3).Should().Equal((3, 1));
        leader.Accepts(3, 4);
        Appends(leader, 3).Should().Equal((4, 1));
    }

    [Fact]
    public void A_window_that_filled_up_with_lost_messages_opens_with_a_heartbeat()
    {
        SingleNode leader = SingleNode.Leader(Narrow);
        for (int i = 0; i < 3; i++)
        {
            leader.Propose();
        }

        Appends(leader, 2).Should().HaveCount(2);
        leader.Beats(2);
        Appends(leader, 2).Should().Equal((3, 1));
        leader.Beats(3);
        leader.Ready();
        leader.Beats(2);
        Appends(leader, 2).Should().Equal([(4, 0)], "an empty one finds out what was lost");
    }

    [Fact]
    public void A_heartbeat_of_a_follower_that_has_everything_asks_for_nothing()
    {
        SingleNode leader = SingleNode.Leader(Narrow);
        leader.Ready();
        leader.Beats(2);
        leader.Node.HasReady.Should().BeFalse();
        leader.Ready().Should().BeEmpty();
    }

    [Fact]
    public void A_refusal_in_step_sends_the_leader_back_to_what_is_known_to_match()
    {
        SingleNode leader = SingleNode.Leader(Narrow with { MaxInflightMessages = 9 });
        leader.Propose();
        leader.Propose();
        Appends(leader, 2).Should().HaveCount(2);
        Rejects(leader, 2, rejected: 1, hint: 0, hintTerm: 0);
        Row(leader, 2).Should().Be((1, 4, ProgressState.Replicate), "a refusal of what is known to match is stale");
        Appends(leader, 2).Should().BeEmpty();
        Rejects(leader, 2, rejected: 2, hint: 1, hintTerm: 1);
        Row(leader, 2).Should().Be((1, 2, ProgressState.Probe));
        Appends(leader, 2).Should().Equal((1, 1));
        leader.Accepts(2, 1);
        Row(leader, 2).State.Should().Be(ProgressState.Replicate, "the logs meet where they were known to");
    }

    [Fact]
    public void A_commit_that_nothing_follows_is_told_once()
    {
        SingleNode leader = SingleNode.Leader(Narrow with { TellCommitWithHeartbeats = false });
        leader.Ready();
        leader.Propose();
        leader.Ready();
        leader.Accepts(2, 2);
        leader.Ready().Select(message => (message.To.Value, message.Commit.Value, message.Entries.Length)).Should().Equal((2, 2, 0), (3, 2, 0));
        leader.Accepts(3, 2);
        leader.Ready().Should().BeEmpty();

        SingleNode sparing = SingleNode.Leader(Narrow);
        sparing.Propose();
        sparing.Ready();
        sparing.Accepts(2, 2);
        sparing.Ready().Should().BeEmpty("the next heartbeat tells it");
    }

    [Fact]
    public void An_answer_that_names_more_than_the_leader_has_breaks_an_invariant()
        => FluentActions.Invoking(() => SingleNode.Leader().Accepts(2, 2)).Should().Throw<InvariantViolationException>();

    [Fact]
    public void Answers_of_strangers_are_void()
    {
        SingleNode leader = SingleNode.Leader();
        leader.Propose();
        leader.Ready();
        leader.Accepts(9, 2);
        leader.Beats(9, 1);
        leader.Node.CommitIndex.Should().Be(new LogIndex(1));
        leader.Node.ReportSnapshotSent(new ReplicaId(9), new LogIndex(1));
        leader.Ready().Should().BeEmpty();
    }

    [Fact]
    public void Whoever_lacks_what_is_compacted_gets_a_snapshot_and_then_goes_on_in_step()
    {
        SingleNode leader = Compacted();
        leader.Beats(3);
        Appends(leader, 3).Should().BeEmpty();
        leader.SnapshotsWanted.Should().Equal(new ReplicaId(3));
        Row(leader, 3).State.Should().Be(ProgressState.Snapshot);

        leader.Beats(3);
        Appends(leader, 3).Should().BeEmpty("nothing is sent meanwhile");
        leader.SnapshotsWanted.Should().HaveCount(1);
        leader.Node.ReportSnapshotSent(new ReplicaId(3), new LogIndex(4));
        leader.Accepts(3, 4);
        Row(leader, 3).Should().Be((4, 5, ProgressState.Replicate));
    }

    [Fact]
    public void A_snapshot_that_the_log_has_left_behind_is_enough_once_it_is_installed()
    {
        SingleNode leader = Compacted();
        leader.Beats(3);
        leader.Ready();
        leader.Propose();
        leader.Ready();
        leader.Accepts(2, 5);
        leader.Ready();
        leader.Apply();
        leader.Node.Compact(new LogIndex(5));
        leader.Accepts(3, 1);
        Row(leader, 3).State.Should().Be(ProgressState.Snapshot);
        leader.Node.ReportSnapshotSent(new ReplicaId(3), new LogIndex(4));
        leader.Accepts(3, 2);
        Row(leader, 3).State.Should().Be(ProgressState.Snapshot, "that is not the snapshot");
        leader.Accepts(3, 4);
        Row(leader, 3).State.Should().Be(ProgressState.Replicate);
    }

    [Fact]
    public void A_hint_whose_term_is_not_known_is_taken_as_it_is()
    {
        SingleNode leader = new(recovered: SingleNode.Disk(5, 0, 1, 1, 3, 5, 5));
        leader.Elect();
        Rejects(leader, 2, rejected: 5, hint: 4, hintTerm: 0);
        Appends(leader, 2).Should().Equal((4, 2));
    }

    [Fact]
    public void A_snapshot_that_is_not_answered_in_time_is_asked_after()
    {
        SingleNode leader = Compacted();
        leader.Beats(3);
        leader.Ready();
        leader.Tick(7);
        Row(leader, 3).State.Should().Be(ProgressState.Snapshot, "it is still being sent");
        leader.Beats(2);
        leader.Node.ReportSnapshotSent(new ReplicaId(3), new LogIndex(4));
        leader.Tick(4);
        Row(leader, 3).State.Should().Be(ProgressState.Snapshot);
        leader.Tick(1);
        Row(leader, 3).Should().Be((0, 5, ProgressState.Probe));
        leader.Beats(3);
        Appends(leader, 3).Should().Equal([(4, 0)], "what was sent is probably there");
    }

    [Fact]
    public void A_snapshot_that_failed_is_wanted_again_when_the_follower_is_heard()
    {
        SingleNode leader = Compacted();
        leader.Beats(3);
        leader.Ready();
        leader.Node.ReportSnapshotFailed(new ReplicaId(3), new LogIndex(4));
        Row(leader, 3).Should().Be((0, 1, ProgressState.Probe));
        leader.Propose();
        leader.Ready();
        leader.SnapshotsWanted.Should().HaveCount(1, "not at once");
        leader.Beats(3);
        leader.Ready();
        leader.SnapshotsWanted.Should().HaveCount(2);
        leader.Node.ReportSnapshotFailed(new ReplicaId(2), new LogIndex(4));
        Row(leader, 2).State.Should().Be(ProgressState.Replicate, "nothing was on its way there");
    }

    [Theory]
    [InlineData(11, 2)]
    [InlineData(12, 1)]
    public void Nobody_is_sent_a_snapshot_who_has_not_been_heard_within_the_longest_timeout(int ticks, int wanted)
    {
        SingleNode leader = Compacted(SingleNode.Options with { ElectionTicksMax = 12 });
        leader.Beats(3);
        leader.Ready();
        leader.Node.ReportSnapshotSent(new ReplicaId(3), new LogIndex(4));
        leader.Propose();
        leader.Ready();
        leader.Accepts(2, 5);
        leader.Ready();
        leader.Apply();
        leader.Node.Compact(new LogIndex(5));

        leader.Tick(6);
        leader.Beats(2);
        leader.Tick(ticks - 6);
        leader.Ready();
        leader.SnapshotsWanted.Should().HaveCount(wanted);
        leader.Beats(3);
        leader.Ready();
        leader.SnapshotsWanted.Should().HaveCount(2, "now it is there");
    }

    [Fact]
    public void What_the_leader_knows_of_each_is_told_to_status_pages()
    {
        SingleNode leader = SingleNode.Leader(learners: 1);
        leader.Propose();
        leader.Ready();
        leader.Tick(5);
        leader.Accepts(2, 2);
        leader.Tick(5);
        leader.Node.DescribeProgress().Select(row => (row.Id.Value, row.Match.Value, row.Next.Value, row.RecentlyActive, row.IsVoter)).Should().Equal(
            (1, 2, 3, true, true), (2, 2, 3, true, true), (3, 1, 3, false, true), (4, 1, 3, false, false));
    }

    /// <summary>A leader with four entries, which replica 2 has, replica 3 has not, and the log no longer holds.</summary>
    private static SingleNode Compacted(RaftOptions? options = null)
    {
        var leader = new SingleNode(options ?? SingleNode.Options);
        leader.Elect();
        leader.Propose();
        leader.Propose();
        leader.Propose();
        leader.Ready();
        leader.Accepts(2, 1);
        leader.Accepts(2, 4);
        leader.Ready();
        leader.Apply();
        leader.Node.Compact(new LogIndex(4)).Should().Be(new LogIndex(4));
        return leader;
    }

    private static void Rejects(SingleNode leader, ulong from, ulong rejected, ulong hint, ulong hintTerm) => leader.Step(new RaftMessage
    {
        Kind = RaftMessageKind.AppendResponse,
        From = new ReplicaId(from),
        Term = leader.Node.Term,
        Index = new LogIndex(rejected),
        Reject = true,
        Hint = new LogIndex(hint),
        LogTerm = new Term(hintTerm),
    });

    private static (ulong After, int Count)[] Appends(SingleNode leader, ulong to) =>
        [.. leader.Ready().Where(message => message.Kind == RaftMessageKind.Append && message.To.Value == to).Select(message => (message.Index.Value, message.Entries.Length))];

    private static (ulong Match, ulong Next, ProgressState State) Row(SingleNode leader, ulong id)
    {
        ProgressStatus row = leader.Node.DescribeProgress().Single(row => row.Id.Value == id);
        return (row.Match.Value, row.Next.Value, row.State);
    }
}
