using FluentAssertions;
using KvStore.TestKit.Histories;
using Xunit;
using static KvStore.Cluster.Tests.Histories.Recorded;

namespace KvStore.Cluster.Tests.Histories;

public sealed class AcknowledgedWriteCheckerTests
{
    [Fact]
    public void A_write_that_is_there_is_well() => Faults(["a"], Put("a", 1, 2)).Should().BeEmpty();

    [Fact]
    public void A_write_that_vanished_is_lost() => Faults([], Put("a", 1, 2)).Should().Equal(AcknowledgedWriteFault.Lost);

    [Fact]
    public void A_later_blind_write_may_supersede() => Faults(["b"], Put("a", 1, 2), Put("b", 3, 4)).Should().BeEmpty();

    [Fact]
    public void A_later_blind_write_need_not_supersede() => Faults(["a", "b"], Put("a", 1, 2), Put("b", 3, 4)).Should().BeEmpty();

    [Fact]
    public void An_earlier_write_cannot_supersede() => Faults(["a"], Put("a", 1, 2), Put("b", 3, 4)).Should().Equal(AcknowledgedWriteFault.Lost);

    [Fact]
    public void A_concurrent_blind_write_may_have_met_the_other() => Faults(["b"], Put("a", 1, 4), Put("b", 2, 3)).Should().BeEmpty();

    [Fact]
    public void Two_concurrent_writes_cannot_both_vanish() =>
        Faults([], Put("a", 1, 4), Put("b", 2, 3)).Should().Equal(AcknowledgedWriteFault.Lost, AcknowledgedWriteFault.Lost);

    [Fact]
    public void A_write_with_context_supersedes_what_it_saw() => Faults(["b"], Put("a", 1, 2), Put("b", 3, 4).HavingSeen("a")).Should().BeEmpty();

    [Fact]
    public void A_write_with_context_supersedes_nothing_else() =>
        Faults(["c"], Put("a", 1, 2), Put("b", 3, 4), Put("c", 5, 6).HavingSeen("a")).Should().Equal(AcknowledgedWriteFault.Lost);

    [Fact]
    public void A_chain_of_contexts_accounts_for_the_first_write() =>
        Faults(["c"], Put("a", 1, 2), Put("b", 3, 4).HavingSeen("a").Unknown(), Put("c", 5, 6).HavingSeen("b")).Should().BeEmpty();

    [Fact]
    public void A_chain_whose_end_is_gone_accounts_for_nothing() =>
        Faults([], Put("a", 1, 2), Put("b", 3, 4).HavingSeen("a").Unknown()).Should().Equal(AcknowledgedWriteFault.Lost);

    [Fact]
    public void A_chain_must_not_go_back_in_time() =>
        Faults(["c"], Put("a", 1, 20), Put("b", 10, 11).HavingSeen("a"), Put("c", 5, 6).HavingSeen("b"))
            .Should().Equal(AcknowledgedWriteFault.Lost, AcknowledgedWriteFault.Lost);

    [Fact]
    public void A_write_that_was_not_done_supersedes_nothing() =>
        Faults([], Put("a", 1, 2), Delete(3, 4).NotDone()).Should().Equal(AcknowledgedWriteFault.Lost);

    [Fact]
    public void A_delete_may_have_met_a_concurrent_write_or_not()
    {
        Faults([], Put("a", 1, 4), Delete(2, 3)).Should().BeEmpty();
        Faults(["a"], Put("a", 1, 4), Delete(2, 3)).Should().BeEmpty();
    }

    [Fact]
    public void An_unknown_delete_may_take_effect_late() => Faults([], Delete(1, 2).Unknown(), Put("a", 3, 4)).Should().BeEmpty();

    [Fact]
    public void An_unknown_write_may_be_there_or_not()
    {
        Faults([], Put("a", 1, 2).Unknown()).Should().BeEmpty();
        Faults(["a"], Put("a", 1, 2).Unknown()).Should().BeEmpty();
    }

    [Fact]
    public void A_value_that_a_delete_had_seen_must_not_come_back() =>
        Faults(["a"], Put("a", 1, 2), Delete(3, 4).HavingSeen("a")).Should().Equal(AcknowledgedWriteFault.Resurrected);

    [Fact]
    public void A_value_that_may_have_been_written_twice_may_stand_beside_what_had_seen_it_once() =>
        Faults(["a", "b"], Put("a", 1, 2) with { MayBeTwice = true }, Put("b", 3, 4).HavingSeen("a")).Should().BeEmpty();

    [Fact]
    public void A_value_survives_a_delete_that_had_not_seen_it() =>
        Faults(["b"], Put("a", 1, 2), Put("b", 1, 2), Delete(3, 4).HavingSeen("a")).Should().BeEmpty();

    [Fact]
    public void A_value_that_two_clients_wrote_may_survive_the_delete_of_one() =>
        Faults(["a"], Put("a", 1, 2), Put("a", 1, 6), Delete(3, 4).HavingSeen("a")).Should().BeEmpty();

    [Fact]
    public void A_stored_value_must_have_been_written() => Faults(["ghost"]).Should().Equal(AcknowledgedWriteFault.Invented);

    [Fact]
    public void A_stored_value_whose_write_failed_is_invented() =>
        Faults(["a"], Put("a", 1, 2).NotDone()).Should().Equal(AcknowledgedWriteFault.Invented);

    [Fact]
    public void Each_sibling_that_was_read_must_have_been_written() =>
        Faults(["a"], Put("a", 1, 2), Get(3, 4, "a", "ghost")).Should().Equal(AcknowledgedWriteFault.Invented);

    [Fact]
    public void Appended_text_cannot_be_judged()
    {
        var checking = () => AcknowledgedWriteChecker.Check(new History([], SequentialModel.AppendedText), new ReplicaDump("end"));

        checking.Should().Throw<ArgumentException>().WithMessage("*appended-text*");
    }

    private static IEnumerable<AcknowledgedWriteFault> Faults(string[] end, params RecordedOperation[] operations)
    {
        var dump = new ReplicaDump("end");
        Array.ForEach(end, value => dump.Add("k", value));
        return AcknowledgedWriteChecker.Check(new History(operations), dump).Select(violation => violation.Fault);
    }
}
