using FluentAssertions;
using KvStore.Cli;
using KvStore.Cluster.Tests.Cli;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Demo;

[Collection(ClusterCollection.Name)]
public sealed class DemoTests(ITestOutputHelper output)
{
    [Fact]
    public async Task The_switch_demo_loses_nothing_through_four_changes_of_policy()
    {
        long begin = TimeProvider.System.GetTimestamp();
        KvRun run = await KvRun.Of("demo", "--scenario", "switch", "--no-tui");
        output.WriteLine($"{TimeProvider.System.GetElapsedTime(begin).TotalSeconds:0.0} s{Environment.NewLine}{run.Out}{run.Error}");

        run.Code.Should().Be(ExitCode.Ok, run.Out + run.Error);
        run.Out.Should().Contain("not bound: node 3").And.Contain("linearizable before: yes").And.Contain("linearizable after: yes").And.Contain("acknowledged writes lost: none");
    }

    [Fact]
    public async Task The_split_brain_demo_holds_and_leaves_a_history_that_can_be_checked_again()
    {
        string file = Path.GetTempFileName();
        long begin = TimeProvider.System.GetTimestamp();
        KvRun run = await KvRun.Of("demo", "--scenario", "split-brain", "--no-tui", "--history", file);
        output.WriteLine($"{TimeProvider.System.GetElapsedTime(begin).TotalSeconds:0.0} s{Environment.NewLine}{run.Out}{run.Error}");

        run.Code.Should().Be(ExitCode.Ok, run.Out + run.Error);
        string[] lines = run.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        lines[^2].Should().MatchRegex(@"^linearizable: yes \(\d+ operations\)$");
        lines[^1].Should().MatchRegex(@"^converged: yes \(\d+ ms\)$");
        run.Out.Should().MatchRegex(@"refused .* after the cut").And.Contain("acknowledged writes lost: none");

        KvRun again = await KvRun.Of("history", "check", file);
        again.Out.Should().Be($"{file}\tlinearizable\n");
        File.Delete(file);
    }

    [Fact]
    public async Task The_adaptive_demo_holds()
    {
        KvRun run = await KvRun.Of("demo", "--scenario", "adaptive", "--no-tui");
        output.WriteLine($"{run.Out}{run.Error}");

        run.Code.Should().Be(ExitCode.Ok, run.Out + run.Error);
        run.Out.Should().MatchRegex(@"done, provisional, .* after the cut").And.Contain("provisional writes lost: none").And.Contain("Anna's cart has 2 values").And.Contain("converged: yes");
    }
}
