using FluentAssertions;
using KvStore.Simulator.Planted;
using Xunit;

namespace KvStore.Cluster.Tests.Simulation;

/// <summary>
/// The simulator finds bugs that are planted at its seams, and only those. All of them are hunted by <c>--planted all</c> (tests/KvStore.Simulator/Planted/README.md); here are those that are
/// found fast, so that a check which goes blind is noticed at once.
/// </summary>
public class PlantedBugTests(ITestOutputHelper output)
{
    private const ulong LastSeed = 200;

    /// <summary>Bugs that are found within a few seeds, from every seam.</summary>
    public static TheoryData<string> FastBugs =>
    [
        "durable-too-early",
        "append-answered-early",
        "payload-swapped",
        "tail-forgotten",
        "voter-wiped",
        "position-without-data",
        "data-without-position",
        "put-lost",
        "snapshot-without-dedup",
        "snapshot-page-dropped",
        "heartbeat-commit-unbounded",
        "entry-skipped",
        "answer-before-commit",
        "refused-after-propose",
        "unknown-as-failed",
        "answers-swapped",
        "retry-under-new-id",
        "lost-writes-unsaved",
        "losers-undotted",
        "eviction-as-delete",
        "refresh-expired",
        "increment-counted-again",
        "ttl-cut-short",
        "ttl-forgotten",
        "transaction-compared-early",
        "transaction-applied-partly",
        "transaction-done-twice",
        "retry-under-new-epoch",
        "closing-forgotten",
        "regime-left-out",
        "accounted-left-out",
        "session-ignored",
        "session-ignored-by-followers",
        "session-term-ignored",
        "actor-reused",
        "clock-before-page",
        "delete-without-context",
        "value-dropped-by-fill",
        "copied-key-left-out",
        "counted-when-sent",
        "dot-keys-lost",
        "open-put-lost",
        "context-taken-for-blind",
        "context-forgotten",
        "overlay-context-refilled",
        "merge-without-dedup",
        "merge-clock-too-far",
        "provisional-without-request",
    ];

    [Theory]
    [MemberData(nameof(FastBugs))]
    public void A_planted_bug_is_found_and_the_seed_that_finds_it_holds_without_it(string bug)
    {
        PlantedFinding finding = PlantedRun.Hunt(bug, Seeds());

        output.WriteLine(finding.ToString());
        finding.Seed.Should().NotBeNull("load, faults and checks must be strong enough for this bug");
        finding.Checker.Should().NotBeNullOrEmpty();
        PlantedRun.PlayClean(bug, finding.Seed!.Value).Should().BeNull("nothing is wrong with the product");
    }

    [Fact]
    public void Each_planted_bug_has_a_name_of_its_own()
    {
        PlantedRun.Names.Should().OnlyHaveUniqueItems().And.HaveCountGreaterThanOrEqualTo(18);
        PlantedRun.Names.Should().Contain(FastBugs.Select(row => row.Data));
    }

    [Fact]
    public void A_bug_of_another_name_is_refused() => FluentActions.Invoking(() => PlantedRun.Hunt("no-such-bug", Seeds())).Should().Throw<ArgumentException>();

    private static IEnumerable<ulong> Seeds()
    {
        for (ulong seed = 1; seed <= LastSeed; seed++)
        {
            yield return seed;
        }
    }
}
