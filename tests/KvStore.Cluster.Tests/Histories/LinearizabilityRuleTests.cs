using FluentAssertions;
using KvStore.TestKit.Histories;
using Microsoft.Extensions.Time.Testing;
using Xunit;
using static KvStore.Cluster.Tests.Histories.Recorded;
using Verdict = KvStore.TestKit.Histories.LinearizabilityVerdict;

namespace KvStore.Cluster.Tests.Histories;

public sealed class LinearizabilityRuleTests
{
    [Fact]
    public void An_empty_history_is_linearizable() => Check().Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void A_read_after_a_write_sees_it() => Check(Put("a", 1, 2), Get(3, 4, "a")).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void A_stale_read_is_not_linearizable()
    {
        var stale = Get(5, 6, "a");

        var result = Check(Put("a", 1, 2), Put("b", 3, 4), stale);

        result.Verdict.Should().Be(Verdict.NotLinearizable);
        result.Key.Should().Be("k");
        result.Unplaced.Should().BeSameAs(stale);
        result.LongestPrefix.Should().HaveCount(2);
        result.Explanation.Should().Contain("At most 2 of 3 operations on key k");
    }

    [Fact]
    public void A_read_concurrent_with_a_write_may_see_either_value()
    {
        Check(Put("a", 1, 2), Put("b", 3, 6), Get(4, 5, "a")).Verdict.Should().Be(Verdict.Linearizable);
        Check(Put("a", 1, 2), Put("b", 3, 6), Get(4, 5, "b")).Verdict.Should().Be(Verdict.Linearizable);
    }

    [Fact]
    public void Two_reads_in_sequence_must_not_go_back() =>
        Check(Put("a", 1, 2), Put("b", 3, 10), Get(4, 5, "b"), Get(6, 7, "a")).Verdict.Should().Be(Verdict.NotLinearizable);

    [Fact]
    public void Operations_whose_ends_share_a_moment_are_concurrent() =>
        Check(Put("a", 1, 2), Put("b", 3, 4), Get(4, 5, "a")).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void A_lost_update_is_not_linearizable() =>
        Check(Put("a", 1, 2), Cas("a", "b", 3, 6), Cas("a", "c", 4, 7)).Verdict.Should().Be(Verdict.NotLinearizable);

    [Fact]
    public void Only_one_of_two_creations_succeeds()
    {
        Check(Cas(null, "a", 1, 4), Cas(null, "b", 2, 3)).Verdict.Should().Be(Verdict.NotLinearizable);
        Check(Cas(null, "a", 1, 4), Cas(null, "b", 2, 3).Mismatched()).Verdict.Should().Be(Verdict.Linearizable);
    }

    [Fact]
    public void A_comparison_that_failed_although_the_value_was_there_is_not_linearizable() =>
        Check(Put("a", 1, 2), Cas("a", "b", 3, 4).Mismatched()).Verdict.Should().Be(Verdict.NotLinearizable);

    [Fact]
    public void A_comparison_that_definitely_was_not_made_observes_nothing() =>
        Check(Put("a", 1, 2), Cas("a", "b", 3, 4).NotDone(), Get(5, 6, "a")).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void An_unknown_write_may_show_late() =>
        Check(Put("a", 1, 2), Put("b", 3, 4).Unknown(), Get(5, 6, "a"), Get(7, 8, "b")).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void An_unknown_write_may_never_show() =>
        Check(Put("a", 1, 2), Put("b", 3, 4).Unknown(), Get(5, 6, "a"), Get(7, 8, "a")).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void An_unknown_write_takes_effect_at_most_once() =>
        Check(Put("b", 1, 2).Unknown(), Get(3, 4, "b"), Put("a", 5, 6), Get(7, 8, "b")).Verdict.Should().Be(Verdict.NotLinearizable);

    [Fact]
    public void Two_equal_unknown_writes_may_take_effect_twice() =>
        Check(Put("b", 1, 2).Unknown(), Put("b", 2, 3).Unknown(), Get(4, 5, "b"), Put("a", 6, 7), Get(8, 9, "b"))
            .Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void An_unknown_write_cannot_show_before_it_was_invoked() =>
        Check(Get(1, 2, "b"), Put("b", 3, 4).Unknown()).Verdict.Should().Be(Verdict.NotLinearizable);

    [Fact]
    public void An_unknown_write_that_nobody_read_can_explain_a_failed_comparison() =>
        Check(Put("a", 1, 2), Put("x", 3, 4).Unknown(), Cas("a", "b", 5, 6).Mismatched()).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void An_unknown_read_says_nothing() => Check(Put("a", 1, 2), Get(3, 4, "zzz").Unknown()).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void A_write_that_was_not_done_must_never_show()
    {
        var failed = Put("b", 3, 4).NotDone();

        var result = Check(Put("a", 1, 2), failed, Get(5, 6, "b"));

        result.Verdict.Should().Be(Verdict.NotLinearizable);
        result.Explanation.Should().Contain("definitely failed");
        ProvenanceChecker.Check(new History([failed, Get(5, 6, "b")])).Should().ContainSingle().Which.DefiniteFailure.Should().BeSameAs(failed);
    }

    [Fact]
    public void The_value_of_a_failed_comparison_must_never_show() =>
        Check(Put("a", 1, 2), Cas("x", "b", 3, 4).Mismatched(), Get(5, 6, "b")).Explanation.Should().Contain("definitely failed");

    [Fact]
    public void A_failed_write_is_no_proof_if_another_client_wrote_the_same() =>
        Check(Put("a", 1, 2).NotDone(), Put("a", 3, 4), Get(5, 6, "a")).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void A_value_from_nowhere_is_not_linearizable() => Check(Get(1, 2, "ghost")).Explanation.Should().Contain("nobody had written it");

    [Fact]
    public void A_deleted_key_is_absent()
    {
        Check(Put("a", 1, 2), Delete(3, 4), Get(5, 6)).Verdict.Should().Be(Verdict.Linearizable);
        Check(Put("a", 1, 2), Delete(3, 4), Get(5, 6, "a")).Verdict.Should().Be(Verdict.NotLinearizable);
    }

    [Fact]
    public void An_unknown_delete_may_explain_an_absent_key() =>
        Check(Put("a", 1, 2), Delete(3, 4).Unknown(), Get(5, 6, "a"), Get(7, 8)).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void A_key_can_be_created_again_after_a_delete() =>
        Check(Cas(null, "a", 1, 2), Delete(3, 4), Cas(null, "b", 5, 6), Get(7, 8, "b")).Verdict.Should().Be(Verdict.Linearizable);

    [Fact]
    public void Siblings_never_come_from_one_key_value() =>
        Check(Put("a", 1, 4), Put("b", 2, 3), Get(5, 6, "a", "b")).Verdict.Should().Be(Verdict.NotLinearizable);

    [Fact]
    public void Keys_are_judged_on_their_own()
    {
        var result = Check(Put("a", 1, 2).On("x"), Put("a", 3, 4).On("y"), Get(5, 6).On("y"), Get(7, 8, "a").On("x"));

        result.Verdict.Should().Be(Verdict.NotLinearizable);
        result.Key.Should().Be("y");
    }

    [Fact]
    public void No_time_gives_no_verdict()
    {
        var history = new History([Put("a", 1, 2), Get(3, 4, "a")]);

        var result = Check(history, new LinearizabilityOptions { TimeLimit = TimeSpan.Zero });

        result.Verdict.Should().Be(Verdict.Unknown);
        result.Explanation.Should().Contain("seconds");
    }

    [Fact]
    public void A_search_that_takes_too_long_gives_no_verdict()
    {
        var clock = new FakeTimeProvider { AutoAdvanceAmount = TimeSpan.FromSeconds(1) };

        var result = Check(Hopeless(), new LinearizabilityOptions { TimeLimit = TimeSpan.FromSeconds(20), Time = clock });

        result.Verdict.Should().Be(Verdict.Unknown);
    }

    [Fact]
    public void A_search_that_grows_too_large_gives_no_verdict()
    {
        var result = Check(Hopeless(), new LinearizabilityOptions { MaxConfigurations = 10_000 });

        result.Verdict.Should().Be(Verdict.Unknown);
        result.Explanation.Should().Contain("10000 configurations");
    }

    [Fact]
    public void A_cancelled_check_gives_no_verdict()
    {
        var result = LinearizabilityChecker.Check(Hopeless(), cancel: new CancellationToken(canceled: true));

        result.Verdict.Should().Be(Verdict.Unknown);
    }

    [Fact]
    public void A_key_found_guilty_outweighs_one_that_was_given_up()
    {
        var guilty = Enumerable.Range(0, 30).Select(i => Put($"g{i}", i * 2, i * 2 + 1).On("z"))
            .Append(Get(100, 101, "g3").On("z"));
        var history = new History(Hopeless().Operations.Concat(guilty));

        var result = Check(history, new LinearizabilityOptions { MaxConfigurations = 10_000 });

        result.Verdict.Should().Be(Verdict.NotLinearizable);
        result.Key.Should().Be("z");
    }

    /// <summary>Twenty-four concurrent writes in any order, and two reads that contradict each other.</summary>
    private static History Hopeless()
    {
        var writes = Enumerable.Range(0, 24).Select(i => Put($"v{i}", i, 100 + i));
        return new History([.. writes, Get(200, 201, "v1"), Get(202, 203, "v2")]);
    }
}
