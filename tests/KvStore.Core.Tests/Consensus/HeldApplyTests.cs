using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>A replica whose state machine can't go on holds what is committed back until a snapshot of the state has come; its log and its votes go on.</summary>
public sealed class HeldApplyTests
{
    [Fact]
    public void Nothing_is_handed_out_while_applying_is_held_and_the_rest_is_after_the_state_was_replaced()
    {
        SingleNode follower = Held();
        follower.Append(2, 3, 2, 4, SingleNode.Entries(4, 2));
        follower.Ready().Should().Contain(message => message.Kind == RaftMessageKind.AppendResponse && !message.Reject && message.Index.Value == 4, "its log goes on");
        follower.Committed.Should().BeEmpty();

        MembershipConfig members = new([new ReplicaId(1), new ReplicaId(2), new ReplicaId(5)]);
        follower.Node.OnStateReplaced(new LogIndex(3), members, new byte[] { 7 });
        follower.Node.AppliedIndex.Value.Should().Be(3);
        follower.Node.Members.Should().Be(members);
        follower.Ready();
        follower.Committed.Select(entry => entry.Index.Value).Should().Equal(4UL);
        follower.Apply();
        follower.Node.AppliedIndex.Value.Should().Be(4);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public void The_new_state_stands_where_something_is_committed_and_not_applied(ulong index)
    {
        SingleNode follower = Held();
        follower.Node.Invoking(node => node.OnStateReplaced(new LogIndex(index), new MembershipConfig([new ReplicaId(1)]))).Should().Throw<InvariantViolationException>();
    }

    [Fact]
    public void The_state_of_who_applies_is_not_replaced()
    {
        SingleNode follower = SingleNode.Follower(2);
        follower.Append(2, 0, 0, 2, SingleNode.Entries(1, 1, 2));
        follower.Node.Invoking(node => node.OnStateReplaced(new LogIndex(1), new MembershipConfig([new ReplicaId(1)]))).Should().Throw<InvariantViolationException>();
    }

    /// <summary>Three entries are committed, handed out and taken back.</summary>
    private static SingleNode Held()
    {
        SingleNode follower = SingleNode.Follower(2);
        follower.Append(2, 0, 0, 3, SingleNode.Entries(1, 1, 2, 2));
        follower.Ready();
        follower.Committed.Should().HaveCount(3);
        follower.Committed.Clear();
        follower.Node.HoldApply();
        follower.Ready();
        follower.Committed.Should().BeEmpty();
        return follower;
    }
}
