using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

public sealed class JointQuorumTests
{
    [Theory]
    [InlineData("", ulong.MaxValue)]
    [InlineData("7", 7ul)]
    [InlineData("7 3", 3ul)]
    [InlineData("3 7", 3ul)]
    [InlineData("9 1 5", 5ul)]
    [InlineData("1 5 9", 5ul)]
    [InlineData("5 9 1", 5ul)]
    [InlineData("4 4 1", 4ul)]
    [InlineData("9 8 2 1", 2ul)]
    [InlineData("5 1 4 2 3", 3ul)]
    [InlineData("9 9 9 0 0", 9ul)]
    [InlineData("0 9 0 9 0", 0ul)]
    public void The_highest_number_of_a_majority(string reached, ulong expected)
        => JointQuorum.HighestOfMajority([.. reached.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(ulong.Parse)]).Should().Be(expected);

    [Theory]
    [InlineData("1+", "Pending")]
    [InlineData("1+ 2+", "Won")]
    [InlineData("1+ 2-", "Pending")]
    [InlineData("1- 2-", "Lost")]
    [InlineData("1+ 2- 3+", "Won")]
    [InlineData("1+ 2- 3-", "Lost")]
    [InlineData("4+ 5+", "Pending")]
    public void One_set_of_three_decides_by_two(string answers, string expected) => Tally(new MembershipConfig(Ids(1, 2, 3)), answers).Should().Be(expected);

    [Theory]
    [InlineData("1+ 2+", "Pending")]
    [InlineData("1+ 2+ 3+", "Won")]
    [InlineData("1- 2-", "Lost")]
    [InlineData("1-", "Pending")]
    public void One_set_of_four_needs_three_and_is_lost_without_two(string answers, string expected) => Tally(new MembershipConfig(Ids(1, 2, 3, 4)), answers).Should().Be(expected);

    [Theory]
    [InlineData("1+ 2+", "Pending")]
    [InlineData("4+ 5+", "Pending")]
    [InlineData("1+ 2+ 4+", "Pending")]
    [InlineData("1+ 2+ 4+ 5+", "Won")]
    [InlineData("1+ 2+ 4- 5-", "Lost")]
    [InlineData("1- 2- 4+ 5+", "Lost")]
    [InlineData("1- 2-", "Lost")]
    [InlineData("4- 5-", "Lost")]
    public void Two_sets_decide_only_together(string answers, string expected) =>
        Tally(new MembershipConfig(Ids(1, 2, 3), outgoingVoters: Ids(4, 5, 6)), answers).Should().Be(expected);

    [Fact]
    public void Members_are_everybody_once_and_in_order()
    {
        var config = new MembershipConfig(Ids(3, 1), Ids(9, 7), Ids(5, 1));
        config.Voters.Should().Equal(Ids(1, 3));
        config.OutgoingVoters.Should().Equal(Ids(1, 5));
        config.Learners.Should().Equal(Ids(7, 9));
        config.Members.Should().Equal(Ids(1, 3, 5, 7, 9));
        config.IsJoint.Should().BeTrue();
        new MembershipConfig(Ids(1)).IsJoint.Should().BeFalse();
        Ids(1, 3, 5).Should().OnlyContain(id => config.IsVoter(id));
        Ids(7, 9, 4).Should().NotContain(id => config.IsVoter(id));
        Ids(1, 3, 5, 7, 9).Should().OnlyContain(id => config.IsMember(id));
        config.IsMember(new ReplicaId(4)).Should().BeFalse();
    }

    [Fact]
    public void A_group_that_contradicts_itself_is_refused()
    {
        Refuse(() => new MembershipConfig([]));
        Refuse(() => new MembershipConfig(Ids(0, 1)));
        Refuse(() => new MembershipConfig(Ids(1, 1)));
        Refuse(() => new MembershipConfig(Ids(1), Ids(1)));
        Refuse(() => new MembershipConfig(Ids(1), Ids(2, 2)));
        Refuse(() => new MembershipConfig(Ids(1), [], Ids(2, 2)));
        Refuse(() => new MembershipConfig(Ids(1), Ids(2), Ids(2)));
        Refuse(() => new MembershipConfig(Many(MembershipConfig.MaxMembers + 1)));
        new MembershipConfig(Many(MembershipConfig.MaxMembers)).Members.Length.Should().Be(MembershipConfig.MaxMembers);
    }

    private static void Refuse(Func<MembershipConfig> create) => create.Invoking(it => it()).Should().Throw<InvariantViolationException>();

    private static IEnumerable<ReplicaId> Many(int count) => Enumerable.Range(1, count).Select(id => new ReplicaId((ulong)id));

    private static ReplicaId[] Ids(params ulong[] ids) => [.. ids.Select(id => new ReplicaId(id))];

    private static string Tally(MembershipConfig members, string answers)
    {
        Dictionary<ulong, bool> given = answers.Split(' ').ToDictionary(word => ulong.Parse(word[..^1]), word => word[^1] == '+');
        return JointQuorum.Tally(members, id => given.TryGetValue(id.Value, out bool granted) ? granted : null).ToString();
    }
}
