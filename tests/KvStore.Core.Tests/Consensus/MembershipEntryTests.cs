using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

public sealed class MembershipEntryTests
{
    private static readonly MembershipConfig Joint = new(Ids(1, 300), Ids(5), Ids(1, 2, 3), Ids(2));

    [Fact]
    public void A_configuration_and_its_context_come_back_as_they_were()
    {
        byte[] payload = MembershipEntry.Encode(Joint, [7, 8, 9]);

        MembershipEntry read = MembershipEntry.Decode(payload);

        read.Config.Should().Be(Joint);
        read.Context.ToArray().Should().Equal(7, 8, 9);
        payload[0].Should().BeGreaterThanOrEqualTo(MembershipEntry.FirstByte, "a stored entry tells its kind by this byte");
    }

    [Fact]
    public void Whatever_the_bytes_they_are_a_configuration_or_malformed()
    {
        byte[] payload = MembershipEntry.Encode(Joint, [7, 8, 9]);
        var random = new Random(1);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] damaged = payload[..random.Next(payload.Length + 1)];
            for (int flips = random.Next(3); flips > 0 && damaged.Length > 0; flips--)
            {
                damaged[random.Next(damaged.Length)] = (byte)random.Next(256);
            }

            try
            {
                MembershipEntry read = MembershipEntry.Decode(damaged);
                MembershipEntry.Encode(read.Config, read.Context.Span).Should().Equal(damaged, "there is one way to write a configuration");
            }
            catch (MalformedRecordException)
            {
                // What a damaged entry deserves.
            }
        }
    }

    [Theory]
    [InlineData(new byte[] { })]
    [InlineData(new byte[] { 0x80, 1, 1, 0, 0, 0 })]
    [InlineData(new byte[] { 0x81, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 0x81, 1, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 0x81, 2, 2, 1, 0, 0, 0 })]
    [InlineData(new byte[] { 0x81, 1, 1, 0, 1, 1, 0 })]
    [InlineData(new byte[] { 0x81, 1, 1, 1, 1, 0, 1, 1 })]
    [InlineData(new byte[] { 0x81, 1, 1, 0, 0, 1, 2 })]
    public void A_configuration_that_contradicts_itself_is_malformed(byte[] payload)
    {
        Action read = () => MembershipEntry.Decode(payload);

        read.Should().Throw<MalformedRecordException>();
    }

    [Fact]
    public void A_context_that_is_too_long_is_refused()
    {
        Action write = () => MembershipEntry.Encode(Joint, new byte[MembershipEntry.MaxContextBytes + 1]);

        write.Should().Throw<ArgumentOutOfRangeException>();
    }

    [Fact]
    public void Voters_that_differ_in_one_id_need_no_joint_step_and_others_do()
    {
        var now = new MembershipConfig(Ids(1, 2, 3), Ids(4));

        now.StepTowards(new MembershipConfig(Ids(1, 2, 3, 4))).IsJoint.Should().BeFalse();
        now.StepTowards(new MembershipConfig(Ids(1, 2), Ids(3))).IsJoint.Should().BeFalse();
        now.StepTowards(new MembershipConfig(Ids(1, 2, 4))).IsJoint.Should().BeTrue("one in and one out are two: {1 2} and {1 4} would not overlap otherwise");
    }

    [Fact]
    public void A_joint_step_is_left_to_the_target()
    {
        var now = new MembershipConfig(Ids(1, 2, 3), Ids(4, 5));
        var target = new MembershipConfig(Ids(1, 4, 5), Ids(2, 6));

        MembershipConfig step = now.StepTowards(target);

        step.Should().Be(new MembershipConfig(Ids(1, 4, 5), Ids(6), Ids(1, 2, 3), Ids(2)));
        step.AfterLeaving().Should().Be(target);
    }

    private static ReplicaId[] Ids(params ulong[] ids) => [.. ids.Select(id => new ReplicaId(id))];
}
