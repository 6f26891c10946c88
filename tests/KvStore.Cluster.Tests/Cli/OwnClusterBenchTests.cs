using System.Xml.Linq;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Cli.Bench.Soak;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

/// <summary>The benchmarks that start a cluster of their own, made small: that they run, end well and say what they promise. What they measure is docs/performance.md's affair.</summary>
[Collection(ClusterCollection.Name)]
public sealed class OwnClusterBenchTests(ITestOutputHelper output)
{
    [Fact]
    public async Task A_soak_shows_what_each_node_uses_and_how_fast_its_memory_grows()
    {
        KvRun run = await RunAsync("soak", "--duration", "3s", "--every", "1s", "--rate", "200", "--keys", "100");

        run.Out.Should().MatchRegex(@"(?m)^ +0\.0 +[\d,]+ +0 +0 +1 +[\d,]+\.\d +[\d,]+\.\d +\d+ +\d+ +[\d,]+\.\d +\d+$");
        run.Out.Should().MatchRegex(@"(?m)^\d+ operations, .*not done 0; unknown 0; not sent in time \d+$");
        run.Out.Should().MatchRegex(@"(?m)^node 3: [+-]?[\d.]+ MiB/h over the second half");
    }

    [Fact]
    public void The_growth_of_memory_is_the_slope_of_a_straight_line_through_the_readings()
    {
        SoakJournal.Slope([(0, 100), (1, 112), (2, 118), (3, 130)]).Should().BeApproximately(9.6, 1e-9);
        SoakJournal.Slope([(1, 5)]).Should().Be(0);
    }

    [Fact]
    public async Task A_curve_has_a_line_for_each_rate_and_is_written_as_CSV_and_drawn()
    {
        DirectoryInfo directory = Directory.CreateTempSubdirectory("kvstore-curve-");
        try
        {
            string csv = Path.Combine(directory.FullName, "curve.csv");
            string svg = Path.Combine(directory.FullName, "curve.svg");
            await RunAsync("curve", "--nodes", "1", "--step", "200ms", "--keys", "100", "--csv", csv, "--svg", svg);

            string[] points = File.ReadAllLines(csv);
            points.Should().HaveCount(1 + (2 * 9));
            points[1].Should().StartWith("sync cp put,10,");
            points[^1].Should().StartWith("async ap put,95,");
            XDocument.Load(svg).Descendants().Count(element => element.Name.LocalName == "polyline").Should().Be(2 * 3);
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task An_overload_is_told_in_what_was_done_refused_and_unknown_and_in_elections()
    {
        KvRun run = await RunAsync("overload", "--nodes", "1", "--peak", "500ms", "--duration", "1s", "--connections", "8", "--times", "4");

        run.Out.Should().MatchRegex(@"(?m)^  done [\d,]+/s, \d+ % of the peak");
        run.Out.Should().MatchRegex(@"(?m)^  refused [\d,]+/s: ");
        run.Out.Should().MatchRegex(@"(?m)^  at the end .* never answered 0$");
        run.Out.Should().MatchRegex(@"(?m)^  elections: 0 of 9 groups had one");
    }

    [Fact]
    public async Task The_memory_of_connections_shards_and_keys_is_told_for_each_one()
    {
        KvRun run = await RunAsync("memory", "--nodes", "1", "--connections", "20", "--shards", "8", "--keys", "2000", "--warm-up", "0", "--only", "connection,shard,memory-key");

        foreach (string kind in (string[])["connection", "shard", "memory-key"])
        {
            run.Out.Should().MatchRegex($@"(?m)^{kind} +[\d,]+ +[\d,.]+ +[\d,.]+ +-?[\d,]+ B +-?[\d,]+ B +[\d,]+ B$");
        }
    }

    [Fact]
    public async Task Growth_compares_what_operations_cost_with_few_and_with_many_keys()
    {
        KvRun run = await RunAsync("growth", "--keys", "12000", "--turn", "200ms", "--rounds", "2", "--memory", "64MiB");

        run.Out.Should().MatchRegex(@"(?m)^  loaded 12,000 keys ");
        run.Out.Should().MatchRegex(@"(?m)^  get: \d+\.\d\d times the processor time at 12,000 keys");
        run.Out.Should().MatchRegex(@"(?m)^  put: \d+\.\d\d times the processor time at 12,000 keys");
        run.Out.Should().MatchRegex(@"(?m)^  0 operations not done; ");
    }

    private async Task<KvRun> RunAsync(params string[] arguments)
    {
        KvRun run = await KvRun.Of(["bench", .. arguments]);
        output.WriteLine(run.Out + run.Error);
        run.Code.Should().Be(ExitCode.Ok, run.Error);
        return run;
    }
}
