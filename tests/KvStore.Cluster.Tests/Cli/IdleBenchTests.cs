using FluentAssertions;
using KvStore.Cli;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

/// <summary>The measurement itself; what it measures is docs/performance.md's affair.</summary>
[Collection(ClusterCollection.Name)]
public sealed class IdleBenchTests(ITestOutputHelper output)
{
    [Fact]
    public async Task The_idle_benchmark_waits_until_all_is_quiet_and_says_what_each_node_used()
    {
        KvRun run = await KvRun.Of("bench", "idle", "--nodes", "3", "--shards", "4", "--warm-up", "0s", "--window", "300ms", "--windows", "2");
        output.WriteLine(run.Out + run.Error);

        run.Code.Should().Be(ExitCode.Ok, run.Error);
        string[] lines = run.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        lines.Should().HaveCount(3);
        lines[0].Should().MatchRegex(@"^idle: 3 nodes, 4 shards, quiet \d+\.\d s after their creation");
        lines[1].Should().MatchRegex(@"^  window 1  \d+\.\d\d % of a core \(\d+\.\d\d \+ \d+\.\d\d \+ \d+\.\d\d\) in 0\.\d s; machine busy .* steal .* load ");
    }
}
