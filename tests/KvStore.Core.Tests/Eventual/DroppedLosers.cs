using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Eventual;

/// <summary>Last-writer-wins drops losers by a dotted write that keeps the winner as it is.</summary>
public sealed class DroppedLosers
{
    [Fact]
    public void C11_a_delete_that_saw_only_the_rival_of_the_loser_leaves_equal_data_under_equal_clocks()
    {
        DottedEnvironment environment = WithConflict(out VersionVector sawOnlyWinner);
        environment[1].DropLosers("k");
        environment[2].Delete("k", sawOnlyWinner);
        environment.Heal();
        environment.CheckConverged();
        environment[3].Values("k").Should().BeEmpty("the loser had lost, and the winner was deleted");
    }

    [Fact]
    public void A_delete_that_saw_the_winner_is_not_undone_by_a_sweep_that_did_not_see_the_delete()
    {
        DottedEnvironment environment = WithConflict(out _);
        environment[2].Delete("k");
        environment[1].DropLosers("k");
        environment.Heal();
        environment.CheckConverged();
        environment[1].Values("k").Should().BeEmpty();
    }

    [Fact]
    public void Two_replicas_that_sweep_at_the_same_time_leave_one_value_and_nothing_to_sweep()
    {
        DottedEnvironment environment = WithConflict(out _);
        environment[1].DropLosers("k");
        environment[2].DropLosers("k");
        environment.Heal();
        environment.CheckConverged();
        environment[3].Values("k").Should().Equal("winner");
        environment[3].Stored(Key.FromText("k")).Context.IsEmpty.Should().BeTrue("the traces fade with the clock");
        environment.Events.Should().HaveCount(4, "two writes and two sweeps; nobody answers a sweep with another");
    }

    [Fact]
    public void A_newer_write_that_a_sweep_did_not_see_wins_over_what_the_sweep_kept()
    {
        DottedEnvironment environment = WithConflict(out _);
        environment[3].Put("k", "newest", atMs: 3_000);
        environment[1].DropLosers("k");
        environment.Heal();
        environment.CheckConverged();
        environment[2].Values("k").Should().Equal("newest");
    }

    [Fact]
    public void The_winner_has_the_highest_timestamp_wherever_it_is_asked()
    {
        DottedEnvironment environment = WithConflict(out _);
        foreach (DottedNode node in environment.Nodes)
        {
            System.Text.Encoding.UTF8.GetString(node.Read("k").Winner.Value.Span).Should().Be("winner");
        }
    }

    private static DottedEnvironment WithConflict(out VersionVector sawOnlyWinner)
    {
        DottedEnvironment environment = new(3);
        environment[1].Put("k", "winner", atMs: 2_000);
        sawOnlyWinner = environment[1].Read("k").Context;
        environment[2].Put("k", "loser", atMs: 1_000);
        environment.Heal();
        environment[3].Values("k").Should().Equal("loser", "winner");
        return environment;
    }
}
