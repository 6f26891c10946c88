using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>Reads that a follower sends on to its leader, and what the leader makes of them.</summary>
public sealed class ForwardedReadTests
{
    [Fact]
    public void A_read_is_sent_to_the_leader_and_answered_once()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 0, 1, 1));
        node.Node.ReadIndex(7).Should().Be(ReadResult.Accepted);
        RaftMessage ask = node.Ready().Single();
        (ask.Kind, ask.To).Should().Be((RaftMessageKind.ReadIndex, new ReplicaId(2)));
        ask.Round.Should().NotBe(0);

        Answers(node, from: 3, ask.Round, index: 9);
        Answers(node, from: 2, ask.Round + 1, index: 9);
        node.Ready();
        node.Reads.Should().BeEmpty();
        Answers(node, from: 2, ask.Round, index: 9, commit: 1);
        Answers(node, from: 2, ask.Round, index: 9);
        node.Ready();
        node.Reads.Should().Equal(new ReadState(7, new LogIndex(9), false));
        node.Node.CommitIndex.Should().Be(new LogIndex(1));
    }

    [Fact]
    public void A_refused_read_is_aborted_and_moves_nothing()
    {
        SingleNode node = SingleNode.Follower(3, SingleNode.Disk(3, 0, 1, 1));
        node.Node.ReadIndex(7);
        Answers(node, from: 2, node.Ready().Single().Round, index: 9, commit: 1, refused: true);
        node.Ready();
        node.Reads.Should().Equal(new ReadState(7, default, true));
        node.Node.CommitIndex.Should().Be(LogIndex.Zero);
    }

    [Fact]
    public void A_read_is_aborted_when_its_leader_is_lost_and_refused_when_too_many_wait()
    {
        SingleNode node = new(SingleNode.Options with { MaxPendingReads = 1 });
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        node.Node.ReadIndex(7).Should().Be(ReadResult.Accepted);
        node.Node.ReadIndex(8).Should().Be(ReadResult.Overloaded);
        node.Step(RaftMessageKind.Heartbeat, 3, 4);
        node.Ready();
        node.Reads.Should().Equal(new ReadState(7, default, true));
    }

    [Fact]
    public void A_read_whose_answer_is_lost_is_given_up_after_the_longest_timeout()
    {
        SingleNode node = new(SingleNode.Options with { ElectionTicksMax = 40 });
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        node.Node.ReadIndex(7);
        node.Tick(2);
        node.Step(RaftMessageKind.Heartbeat, 2, 3);
        node.Node.ReadIndex(8);
        for (int i = 0; i < 38; i++)
        {
            node.Step(RaftMessageKind.Heartbeat, 2, 3);
            node.Tick(1);
        }

        node.Ready();
        node.Reads.Should().BeEmpty();
        node.Tick(1);
        node.Ready();
        node.Reads.Should().Equal(new ReadState(7, default, true));
    }

    [Fact]
    public void So_many_reads_are_on_their_way_and_no_more()
    {
        var reads = new ForwardedReads(2, new Random(1));
        ulong first = reads.Add(10, 1), second = reads.Add(11, 5);
        second.Should().Be(first + 1);
        reads.Add(12, 5).Should().Be(0);
        reads.TryTake(first, out ulong context).Should().BeTrue();
        context.Should().Be(10);
        reads.TryTake(first, out context).Should().BeFalse();
        context.Should().Be(0);
        reads.Add(12, 6).Should().Be(second + 1);

        List<ReadState> answers = [];
        reads.AbortBefore(5, answers);
        answers.Should().BeEmpty();
        reads.AbortBefore(6, answers);
        answers.Should().Equal(new ReadState(11, default, true));
        reads.AbortAll(answers);
        answers.Should().HaveCount(2);
        reads.TryTake(second, out _).Should().BeFalse();
    }

    [Fact]
    public void A_leader_answers_the_reads_of_members_with_what_they_surely_have()
    {
        SingleNode leader = SingleNode.Leader(learners: 1);
        leader.Propose();
        leader.Ready();
        leader.Accepts(2, 2);
        leader.Ready();
        Asks(leader, from: 4, number: 77);
        leader.Ready().Should().Contain(message => message.Kind == RaftMessageKind.Heartbeat && message.Round == 1);
        leader.Beats(2, 1);
        RaftMessage answer = leader.Ready().Single(message => message.Kind == RaftMessageKind.ReadIndexResponse);
        (answer.To.Value, answer.Round, answer.Index.Value, answer.Commit.Value, answer.Reject).Should().Be((4, 77, 2, 1, false));
        leader.Reads.Should().BeEmpty();
    }

    [Fact]
    public void Reads_of_strangers_too_many_of_them_and_those_asked_of_no_leader_are_refused()
    {
        SingleNode leader = SingleNode.Leader(SingleNode.Options with { MaxPendingReads = 1 });
        Asks(leader, from: 9, number: 5);
        Refusal(leader).Should().Be((9, 5));
        Asks(leader, from: 2, number: 6);
        Asks(leader, from: 3, number: 7);
        Refusal(leader).Should().Be((3, 7));
        leader.Tick(10);
        Refusal(leader).Should().Be((2, 6));

        SingleNode follower = SingleNode.Follower(3);
        Asks(follower, from: 3, number: 8);
        Refusal(follower).Should().Be((3, 8));
        follower.Step(new RaftMessage { Kind = RaftMessageKind.ReadIndex, From = new ReplicaId(3), Term = new Term(2), Round = 9 });
        follower.Ready().Single().Reject.Should().BeTrue();
    }

    private static (ulong To, ulong Number) Refusal(SingleNode node)
    {
        RaftMessage answer = node.Ready().Single(message => message.Kind == RaftMessageKind.ReadIndexResponse);
        answer.Reject.Should().BeTrue();
        return (answer.To.Value, answer.Round);
    }

    private static void Asks(SingleNode node, ulong from, ulong number) =>
        node.Step(new RaftMessage { Kind = RaftMessageKind.ReadIndex, From = new ReplicaId(from), Term = node.Node.Term, Round = number });

    private static void Answers(SingleNode node, ulong from, ulong number, ulong index, ulong commit = 0, bool refused = false) => node.Step(new RaftMessage
    {
        Kind = RaftMessageKind.ReadIndexResponse,
        From = new ReplicaId(from),
        Term = node.Node.Term,
        Round = number,
        Index = new LogIndex(index),
        Commit = new LogIndex(commit),
        Reject = refused,
    });
}
