using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>The payload of a configuration entry, and how one configuration follows from another.</summary>
public sealed class ConfigurationPayloadTests
{
    [Fact]
    public void A_configuration_survives_its_encoding_with_its_context()
    {
        var joint = new MembershipConfig(Ids(1, 2), Ids(7), Ids(2, 3, 4), Ids(3));
        byte[] payload = MembershipEntry.Encode(joint, "why"u8);
        payload.Should().Equal([0x81, 2, 1, 2, 3, 2, 3, 4, 1, 7, 1, 3, .. "why"u8.ToArray()]);
        payload[0].Should().BeGreaterThanOrEqualTo(MembershipEntry.FirstByte);
        MembershipEntry read = MembershipEntry.Decode(payload);
        read.Config.Should().Be(joint);
        read.Context.ToArray().Should().Equal("why"u8.ToArray());
    }

    [Fact]
    public void A_payload_that_contradicts_itself_is_refused()
    {
        Refuse("format", 0x80, 1, 1, 0, 0, 0);
        Refuse("contradicts", 0x81, 0, 0, 0, 0);
        Refuse("contradicts", 0x81, 1, 1, 0, 1, 1, 0);
        Refuse("contradicts", 0x81, 1, 1, 1, 2, 1, 2, 0);
        Refuse("contradicts", 0x81, 1, 1, 1, 2, 0, 1, 3);
        Refuse("contradicts", 0x81, 1, 1, 2, 1, 2, 0, 1, 1);
        Refuse("ascending", 0x81, 2, 2, 1, 0, 0, 0);
        Refuse("ascending", 0x81, 2, 2, 2, 0, 0, 0);
        Refuse("ascending", 0x81, 1, 0, 0, 0, 0);
        Refuse("count", 0x81, 2, 1);
        Refuse("too many", [0x81, 33, .. Enumerable.Range(1, 33).Select(i => (byte)i), 0, 0, 0]);
        Refuse("contradicts", [0x81, 32, .. Enumerable.Range(1, 32).Select(i => (byte)i), 1, 33, 0, 0]);
        MembershipEntry.Decode(new byte[] { 0x81, 32 }.Concat(Enumerable.Range(1, 32).Select(i => (byte)i)).Concat(new byte[3]).ToArray()).Config.Voters.Length.Should().Be(32);
    }

    [Fact]
    public void A_context_has_a_limit()
    {
        var config = new MembershipConfig(Ids(1));
        byte[] largest = MembershipEntry.Encode(config, new byte[MembershipEntry.MaxContextBytes]);
        MembershipEntry.Decode(largest).Context.Length.Should().Be(MembershipEntry.MaxContextBytes);
        FluentActions.Invoking(() => MembershipEntry.Encode(config, new byte[MembershipEntry.MaxContextBytes + 1])).Should().Throw<ArgumentOutOfRangeException>();
        Refuse("too long", [.. largest, 0]);
    }

    [Fact]
    public void Voters_that_differ_in_one_id_are_changed_in_one_step_and_others_by_way_of_a_joint_group()
    {
        var three = new MembershipConfig(Ids(1, 2, 3), Ids(4));
        foreach (MembershipConfig target in (MembershipConfig[])[new(Ids(1, 2)), new(Ids(1, 2, 3, 4)), new(Ids(1, 2, 3), Ids(5))])
        {
            three.StepTowards(target).Should().BeSameAs(target);
        }

        three.StepTowards(new MembershipConfig(Ids(1, 2, 4), Ids(3, 5))).Should().Be(new MembershipConfig(Ids(1, 2, 4), Ids(5), Ids(1, 2, 3), Ids(3)));
        three.StepTowards(new MembershipConfig(Ids(1))).Should().Be(new MembershipConfig(Ids(1), [], Ids(1, 2, 3)));
        var joint = new MembershipConfig(Ids(1, 2, 4), Ids(5), Ids(1, 2, 3), Ids(3));
        joint.AfterLeaving().Should().Be(new MembershipConfig(Ids(1, 2, 4), Ids(3, 5)));
        Breaks(three.AfterLeaving);
        Breaks(() => joint.StepTowards(three));
        Breaks(() => three.StepTowards(joint));
    }

    [Fact]
    public void Configurations_are_equal_when_all_four_sets_are()
    {
        var joint = new MembershipConfig(Ids(1, 2), Ids(7), Ids(2, 3), Ids(3));
        joint.Equals((object)new MembershipConfig(Ids(2, 1), Ids(7), Ids(3, 2), Ids(3))).Should().BeTrue();
        joint.GetHashCode().Should().Be(new MembershipConfig(Ids(2, 1), Ids(7), Ids(3, 2), Ids(3)).GetHashCode());
        joint.Equals(new MembershipConfig(Ids(1, 4), Ids(7), Ids(2, 3), Ids(3))).Should().BeFalse();
        joint.Equals(new MembershipConfig(Ids(1, 2), Ids(8), Ids(2, 3), Ids(3))).Should().BeFalse();
        joint.Equals(new MembershipConfig(Ids(1, 2), Ids(7), Ids(1, 3), Ids(3))).Should().BeFalse();
        joint.Equals(new MembershipConfig(Ids(1, 2), Ids(7), Ids(2, 3))).Should().BeFalse();
        joint.Equals("a group").Should().BeFalse();
        joint.ToString().Should().Be($"[{Id(1)} {Id(2)}] leaving [{Id(2)} {Id(3)}] learners [{Id(7)}] next learners [{Id(3)}]");
        new MembershipConfig(Ids(1)).ToString().Should().Be($"[{Id(1)}]");
        Breaks(() => new MembershipConfig(Ids(1), [], Ids(2), Ids(3)));
        Breaks(() => new MembershipConfig(Ids(1, 2), [], Ids(2), Ids(2)));
        joint.Equals(null).Should().BeFalse();
    }

    private static ReplicaId Id(ulong id) => new(id);

    private static ReplicaId[] Ids(params ulong[] ids) => [.. ids.Select(id => new ReplicaId(id))];

    private static void Breaks<T>(Func<T> act) => act.Invoking(it => it()).Should().Throw<InvariantViolationException>();

    private static void Refuse(string reason, params byte[] payload) =>
        FluentActions.Invoking(() => MembershipEntry.Decode(payload)).Should().Throw<MalformedRecordException>().WithMessage($"*{reason}*");
}
