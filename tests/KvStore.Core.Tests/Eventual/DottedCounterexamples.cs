using FluentAssertions;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Eventual;

/// <summary>The counterexamples that shaped the design, by their numbers.</summary>
public sealed class DottedCounterexamples
{
    [Fact]
    public void C3_a_pushed_delete_carries_its_dot_so_equal_clocks_have_equal_data()
    {
        DottedEnvironment environment = new(3);
        environment[1].Put("k", "v");
        environment.DeliverAll();
        Dot delete = environment[1].Delete("k").Dot;
        environment.DeliverAll();
        foreach (DottedNode node in environment.Nodes)
        {
            node.Replica.Clock.Covers(delete).Should().BeTrue();
            node.Values("k").Should().BeEmpty();
        }
    }

    [Fact]
    public void C3_a_page_names_every_missing_dot_of_its_keys_so_no_object_runs_ahead_of_the_clock()
    {
        DottedEnvironment environment = new(3, options: new DottedOptions { MaxPageDots = 1 });
        environment[1].Put("k", "a");
        environment[2].Put("other", "x");
        environment[2].Put("k", "b", VersionVector.Empty);
        environment.DropTo(3);
        environment.DeliverAll();
        environment[1].Delete("k");
        environment.DropAll();

        environment[3].Pull(new NodeId(1));
        environment.DeliverOne(duplicate: 0);
        environment.DeliverOne(duplicate: 0);
        environment[3].Replica.Clock.Equals(environment[1].Replica.Clock).Should().BeFalse("there is more to pull");
        environment.CheckDataMatchesClock(environment[3]);
    }

    [Fact]
    public void C3_a_page_planned_for_an_incarnation_that_lost_its_tail_is_dropped()
    {
        DottedEnvironment environment = new(2);
        environment[2].Put("k", "forgotten at 2");
        environment.DeliverAll();
        environment[1].Put("k", "sibling", VersionVector.Empty);
        environment.DropAll();
        environment[2].Pull(new NodeId(1));
        environment.DeliverOne(duplicate: 0);
        environment[2].Restart();
        environment.DeliverAll();
        environment[2].Values("k").Should().BeEmpty("the page leaves out the dot that was forgotten meanwhile");
        environment.Heal();
        environment[2].Values("k").Should().Equal("forgotten at 2", "sibling");
        environment.CheckConverged();
    }

    [Fact]
    public void C4_a_relay_passes_a_delete_on_under_its_own_dot()
    {
        DottedEnvironment environment = new(3);
        environment[2].Put("k", "v");
        environment.Heal();
        environment[2].Delete("k");
        environment.DropAll();

        environment[1].Pull(new NodeId(2));
        environment.DeliverAll();
        environment[3].Pull(new NodeId(1));
        environment.DeliverAll();
        environment[3].Values("k").Should().BeEmpty();
        environment[3].Replica.Clock.Should().Be(environment[2].Replica.Clock);
    }

    [Fact]
    public void C5_a_late_push_after_its_range_was_copied_does_not_bring_back_what_the_source_deleted()
    {
        DottedEnvironment environment = WithDeleteUnknownToNewcomer(out DottedEnvironment.Message latePush);
        environment[3].Wipe();
        environment[3].RequestCopy(new NodeId(1));
        while (environment[3].Replica.FullCopy is { IsRunning: true, IsCatchingUp: false })
        {
            environment.DeliverOne(duplicate: 0);
        }

        environment.Deliver(latePush);
        environment[3].Values("k").Should().BeEmpty();
        environment.Heal();
        environment[3].Values("k").Should().BeEmpty();
        environment.CheckConverged();
    }

    [Fact]
    public void C5_a_late_push_before_or_while_its_range_is_copied_is_joined_with_the_absence_at_the_source()
    {
        DottedEnvironment environment = WithDeleteUnknownToNewcomer(out DottedEnvironment.Message latePush);
        environment[3].Wipe();
        environment.Deliver(latePush);
        environment[3].Values("k").Should().Equal("v");
        environment.BeforeJoin = () => environment.Deliver(latePush);
        environment.Heal();
        environment[3].Values("k").Should().BeEmpty();
        environment.CheckConverged();
    }

    [Fact]
    public void C5_the_newcomer_is_no_source_until_it_is_whole()
    {
        DottedEnvironment environment = new(3);
        environment[1].Put("k", "v");
        environment.Heal();
        environment[3].Wipe();
        PagePlan plan = environment[3].Replica.AntiEntropy.Plan(new PullMessage(environment.DrawActor(), new ShardClock()));
        plan.Answer.Should().Be(PullAnswer.NoSource);
        environment[3].Replica.CaptureForCopy(new NodeId(2), new FullCopyRequest(environment.DrawActor(), 1, default)).Should().BeNull();
    }

    [Fact]
    public void C7_the_counter_is_not_derived_from_a_clock()
    {
        DottedReplica replica = new(new ActorId(99_999), 0, new ShardClock(), [new NodeId(2)], DottedOptions.Default);
        ShardClock theirs = new();
        theirs.AdvanceBase(new ActorId(99_999), 5);
        FluentActions.Invoking(() => replica.OnClockAdvertised(new NodeId(2), new ClockAdvertised(theirs, false)))
            .Should().Throw<InvariantViolationException>("a peer knows dots of mine that I never minted: this identity was used twice");
    }

    [Fact]
    public void C7_after_a_power_loss_no_dot_is_minted_again()
    {
        DottedEnvironment environment = new(2);
        Dot lost = environment[1].Put("k", "lost here, known there").Dot;
        environment.DeliverAll();
        environment[1].Restart();
        environment[1].Put("k", "new").Dot.Should().NotBe(lost);
        environment.Heal();
        environment[1].Values("k").Should().Equal("lost here, known there", "new");
        environment.CheckConverged();
    }

    [Fact]
    public void C10_superseded_dots_leave_no_gap()
    {
        DottedEnvironment environment = new(2, options: new DottedOptions { MaxPageDots = 3 });
        for (int i = 0; i < 10; i++)
        {
            environment[1].Put("k", $"{i}");
        }

        environment.DropAll();
        environment.Heal();
        environment[2].Replica.Clock.BaseOf(environment[1].Replica.Self).Should().Be(10);
    }

    [Fact]
    public void C17_a_timestamp_far_ahead_loses_no_write_and_supersedes_nothing()
    {
        DottedEnvironment environment = new(2);
        environment[1].Put("k", "fast clock", atMs: 3_600_000);
        environment[2].Put("k", "right clock", atMs: 1_000);
        environment.Heal();
        environment[1].Values("k").Should().Equal("fast clock", "right clock");
    }

    [Fact]
    public void C20_the_local_object_is_filled_before_the_incoming_dot_is_counted()
    {
        DottedEnvironment environment = new(2);
        environment[1].Put("k", "first");
        environment[1].Put("k", "second");
        environment.DeliverAll();
        environment[2].Values("k").Should().Equal("second");
    }

    [Fact]
    public void C22_a_dotted_expiry_removes_only_what_it_names()
    {
        DottedEnvironment environment = new(2);
        environment[1].Put("k", "expires");
        environment.Heal();
        VersionVector expiring = environment[1].Read("k").Context;
        environment[2].Put("k", "refreshed");
        environment.DeliverAll();
        environment[1].Delete("k", expiring);
        environment.Heal();
        environment[2].Values("k").Should().Equal("refreshed");
    }

    private static DottedEnvironment WithDeleteUnknownToNewcomer(out DottedEnvironment.Message latePush)
    {
        DottedEnvironment environment = new(3) { CopyPageKeys = 1 };
        environment[1].Put("a", "x");
        environment[1].Put("z", "y");
        environment[2].Put("k", "v");
        latePush = environment.HoldTo(3).Single(message => message.Kind == DottedMessageKind.Replicate && message.From.Value == 2);
        environment.Heal();
        environment[1].Delete("k");
        environment.Heal();
        return environment;
    }
}
