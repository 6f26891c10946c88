using FluentAssertions;
using KvStore.TestKit.Histories;
using Xunit;

namespace KvStore.Cluster.Tests.Histories;

public sealed class ConvergenceCheckerTests
{
    [Fact]
    public void No_replicas_agree() => ConvergenceChecker.Check([]).Converged.Should().BeTrue();

    [Fact]
    public void Order_and_repetition_of_siblings_make_no_difference()
    {
        var one = new ReplicaDump("n1").Add("k", "a").Add("k", "b").Add("l", "c");
        var other = new ReplicaDump("n2").Add("l", "c").Add("k", "b").Add("k", "a").Add("k", "a");

        ConvergenceChecker.Check([one, other]).Converged.Should().BeTrue();
    }

    [Fact]
    public void A_missing_sibling_is_named()
    {
        var one = new ReplicaDump("n1").Add("k", "a").Add("k", "b");
        var other = new ReplicaDump("n2").Add("k", "a");

        var result = ConvergenceChecker.Check([one, new ReplicaDump("n3").Add("k", "b").Add("k", "a"), other]);

        result.Converged.Should().BeFalse();
        result.ToString().Should().Contain("Key k: n1 holds \"a\" and \"b\", n2 holds \"a\".");
    }

    [Fact]
    public void A_key_that_only_a_later_replica_has_is_found()
    {
        var result = ConvergenceChecker.Check([new ReplicaDump("n1"), new ReplicaDump("n2").Add("ghost", "boo")]);

        result.Differences.Should().ContainSingle().Which.ToString().Should().Be("Key ghost: n1 holds nothing, n2 holds \"boo\".");
    }

    [Fact]
    public void All_differences_are_counted_and_the_first_are_listed_in_order()
    {
        var full = new ReplicaDump("n1");
        for (var i = 99; i >= 0; i--)
        {
            full.Add($"k{i:00}", "v");
        }

        var result = ConvergenceChecker.Check([full, new ReplicaDump("n2")], limit: 3);

        result.DifferentKeys.Should().Be(100);
        result.Differences.Select(difference => difference.Key).Should().Equal("k00", "k01", "k02");
    }
}
