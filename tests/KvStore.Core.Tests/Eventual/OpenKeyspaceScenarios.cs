using FluentAssertions;
using KvStore.Core.Eventual;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Eventual;

/// <summary>The scenarios of open keyspaces, by their numbers in the list of faults to survive.</summary>
public sealed class OpenKeyspaceScenarios
{
    [Fact]
    public void Scenario_51_concurrent_puts_become_siblings_and_a_put_in_context_removes_only_what_it_saw()
    {
        DottedEnvironment environment = new(3);
        environment[1].Put("k", "a");
        VersionVector sawOnlyA = environment[1].Read("k").Context;
        environment[2].Put("k", "b");
        environment.Heal();
        environment[3].Values("k").Should().Equal("a", "b");

        environment[3].Put("k", "c", sawOnlyA);
        environment.Heal();
        environment[1].Values("k").Should().Equal("b", "c");
        environment.CheckConverged();
    }

    [Fact]
    public void Scenario_52_a_put_concurrent_with_a_delete_survives()
    {
        DottedEnvironment environment = new(3);
        environment[1].Put("k", "old");
        environment.Heal();
        environment[2].Delete("k");
        environment[3].Put("k", "new");
        environment.Heal();
        environment[1].Values("k").Should().Equal("new");
        environment.CheckConverged();
    }

    [Fact]
    public void Scenario_53_a_replica_that_was_away_through_any_number_of_deletes_resurrects_nothing_and_its_next_write_counts()
    {
        DottedEnvironment environment = new(3);
        environment[1].Put("gone", "x");
        environment.Heal();
        environment[1].Delete("gone");
        for (int i = 0; i < 1_000; i++)
        {
            environment[1].Put($"k{i % 20}", "x");
            environment[2].Delete($"k{i % 20}");
        }

        environment.DropTo(3);
        environment[3].Put("gone", "again", VersionVector.Empty);
        environment.Heal();
        environment[1].Values("gone").Should().Equal("again");
        environment.CheckConverged();
    }

    [Fact]
    public void Scenario_53_a_replica_that_was_away_past_the_index_is_copied_in_full_and_resurrects_nothing()
    {
        DottedEnvironment environment = new(3, options: new DottedOptions { MaxIndexedDots = 10 });
        environment[1].Put("gone", "x");
        environment.Heal();
        environment[1].Delete("gone");
        for (int i = 0; i < 50; i++)
        {
            environment[1].Put($"k{i % 7}", $"{i}");
        }

        environment.DropTo(3);
        environment.DropTo(2);
        environment.Heal();
        environment.FullCopies.Should().BeGreaterThan(0);
        environment[3].Values("gone").Should().BeEmpty();
        environment[3].Values("k0").Should().Equal("49");
        environment.CheckConverged();
    }

    [Fact]
    public void Scenario_54_writers_with_stale_contexts_leave_as_many_siblings_as_were_really_concurrent()
    {
        DottedEnvironment environment = new(1);
        VersionVector first = VersionVector.Empty, second = VersionVector.Empty;
        for (int i = 0; i < 100; i++)
        {
            first = environment[1].Put("k", $"a{i}", first).Written.Context;
            environment[1].Values("k").Length.Should().BeLessThanOrEqualTo(2);
            second = environment[1].Put("k", $"b{i}", second).Written.Context;
            environment[1].Values("k").Length.Should().BeLessThanOrEqualTo(2);
        }
    }

    [Fact]
    public void Scenario_54_siblings_past_the_cap_are_refused_with_a_clear_error_and_nothing_changes()
    {
        DottedEnvironment environment = new(1, options: new DottedOptions { MaxSiblings = 3 });
        for (int i = 0; i < 3; i++)
        {
            environment[1].Put("k", $"{i}", VersionVector.Empty).Status.Should().Be(DottedWriteStatus.Written);
        }

        ulong before = environment[1].Replica.Number;
        environment[1].Put("k", "one too many", VersionVector.Empty).Status.Should().Be(DottedWriteStatus.TooManySiblings);
        environment[1].Replica.Number.Should().Be(before);
        environment[1].Put("k", "resolved").Status.Should().Be(DottedWriteStatus.Written);
        environment[1].Values("k").Should().Equal("resolved");
    }

    [Fact]
    public void Scenario_54_above_the_cap_a_write_that_leaves_fewer_values_is_taken_and_so_is_a_delete()
    {
        DottedEnvironment environment = new(3, options: new DottedOptions { MaxSiblings = 3 });
        foreach (DottedNode node in environment.Nodes)
        {
            node.Put("k", $"{node.Id}a", VersionVector.Empty);
            node.Put("k", $"{node.Id}b", VersionVector.Empty);
        }

        VersionVector sawOwnTwo = environment[1].Read("k").Context;
        environment.Heal();
        environment[1].Values("k").Should().HaveCount(6, "receipts are never refused");
        environment[1].Put("k", "one more", VersionVector.Empty).Status.Should().Be(DottedWriteStatus.TooManySiblings);
        environment[1].Put("k", "for two", sawOwnTwo).Status.Should().Be(DottedWriteStatus.Written);
        environment[1].Values("k").Should().HaveCount(5);
        environment[1].Delete("k", environment[1].Read("k").Context).Status.Should().Be(DottedWriteStatus.Written);
        environment[1].Values("k").Should().BeEmpty();
    }

    [Fact]
    public void Scenario_55_a_write_stamped_far_ahead_is_taken_by_every_receiver()
    {
        DottedEnvironment environment = new(2);
        environment[1].Put("k", "from the future", atMs: 3_600_000);
        environment.Heal();
        environment[2].Values("k").Should().Equal("from the future");
    }

    [Fact]
    public void Scenario_57_a_node_that_lost_its_disk_mints_under_a_new_name_and_gets_its_old_writes_back()
    {
        DottedEnvironment environment = new(3);
        Dot old = environment[1].Put("k", "before").Dot;
        environment.Heal();
        environment[1].Wipe();
        Dot young = environment[1].Put("other", "while recovering").Dot;
        young.Actor.Should().NotBe(old.Actor);
        environment.Heal();
        environment[1].Values("k").Should().Equal("before");
        environment[2].Values("other").Should().Equal("while recovering");
        environment.CheckConverged();
    }

    [Fact]
    public void Acknowledgements_and_adverts_speak_only_of_what_is_durable()
    {
        DottedEnvironment environment = new(2);
        environment[1].Put("k", "v", operation: 7);
        environment.DeliverAll();
        environment.Acknowledged.Should().BeEmpty("the receiver hasn't synced yet");
        environment[2].Replica.Advertise().Clock.IsEmpty.Should().BeTrue();

        environment[2].MakeDurable();
        environment.DeliverAll();
        environment.Acknowledged.Should().Equal((new NodeId(2), 7ul));
        environment[1].Replica.IndexedDots.Should().Be(0, "the acknowledgement says that the only peer has it");
    }

    [Fact]
    public void A_known_write_is_acknowledged_again_once_it_is_durable()
    {
        DottedEnvironment environment = new(2);
        environment[1].Put("k", "v", operation: 7);
        DottedEnvironment.Message message = environment.HoldTo(2).Single();
        environment.Deliver(message);
        ulong number = environment[2].Replica.Number;
        environment.Deliver(message);
        environment[2].Replica.Number.Should().Be(number, "nothing new was learned");
        environment[2].MakeDurable();
        environment.DeliverAll();
        environment.Acknowledged.Should().Contain((new NodeId(2), 7ul));
    }

    [Fact]
    public void A_deleted_key_leaves_no_record_once_everything_before_it_was_seen()
    {
        DottedEnvironment environment = new(2);
        environment[1].Put("a", "1");
        environment[1].Put("k", "2");
        environment[1].Delete("k");
        List<DottedEnvironment.Message> held = environment.HoldTo(2);
        environment.Deliver(held[2]);
        environment[2].View.Should().HaveCount(1, "the context of the delete isn't implied by the clock yet");
        environment.Deliver(held[0]);
        environment.Deliver(held[1]);
        environment[2].Fade();
        environment[2].View.Keys.Should().Equal(Key.FromText("a"));
    }

    [Fact]
    public void A_switch_from_the_log_moves_no_data_and_a_straggler_is_found_out()
    {
        ShardClock prefix = new();
        prefix.AdvanceBase(ActorId.Log, 100);
        DottedEnvironment environment = new(2, initialClock: prefix);
        OrderedRecord ordered = new(new LogIndex(42), HybridTimestamp.Zero, "from the log"u8.ToArray());
        byte[] record = Versioning.VersioningGen.Encoded(ordered.Encode);
        environment[1].View[Key.FromText("k")] = record;
        environment[2].View[Key.FromText("k")] = record;
        environment[1].Values("k").Should().Equal("from the log");

        environment[2].Put("k", "dotted");
        environment.Heal();
        environment[1].Values("k").Should().Equal("dotted");

        PagePlan answer = environment[1].Replica.AntiEntropy.Plan(new PullMessage(environment.DrawActor(), new ShardClock()));
        answer.Answer.Should().Be(PullAnswer.FullCopyNeeded);
    }
}
