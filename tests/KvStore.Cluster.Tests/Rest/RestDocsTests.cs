using System.Diagnostics;
using System.Text.RegularExpressions;
using FluentAssertions;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Contracts.V1;
using KvStore.TestKit;
using Xunit;

namespace KvStore.Cluster.Tests.Rest;

/// <summary>The examples of docs/rest.md and of the README, run by curl as they stand there.</summary>
[Collection(ClusterCollection.Name)]
public sealed partial class RestDocsTests
{
    private const int LeastExamples = 8;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData("docs/rest.md")]
    [InlineData("README.md")]
    public async Task Every_curl_example_gets_the_status_that_stands_behind_it(string page)
    {
        string[] lines = await File.ReadAllLinesAsync(Path.Combine(Root(), page), TestContext.Current.CancellationToken);
        (string Command, string Status)[] examples = [.. lines.Select(line => Example().Match(line)).Where(match => match.Success).Select(match => (match.Groups["command"].Value, match.Groups["status"].Value))];
        examples.Length.Should().BeGreaterThanOrEqualTo(page == "README.md" ? 2 : LeastExamples);

        await using KvTestCluster cluster = await KvTestCluster.StartAsync(new KvTestClusterOptions { InMemory = true, Http = true }, TestContext.Current.CancellationToken);
        await cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync, shards: 8, TestContext.Current.CancellationToken);
        foreach ((string command, string status) in examples)
        {
            string here = Address().Replace(command, match => cluster.Node(uint.Parse(match.Groups["node"].ValueSpan)).HttpAddress.ToString().TrimEnd('/'));
            (await StatusOfAsync(here)).Should().Be(status, "{0}", command);
        }
    }

    private static async Task<string> StatusOfAsync(string curl)
    {
        using var shell = Process.Start(new ProcessStartInfo("bash", ["-c", $"{curl} -s -o /dev/null -w '%{{http_code}}' --max-time {Deadline.TotalSeconds}"]) { RedirectStandardOutput = true })!;
        string output = await shell.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await shell.WaitForExitAsync(TestContext.Current.CancellationToken);
        return output.Trim();
    }

    private static string Root()
    {
        DirectoryInfo? directory = new(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "KvStore.sln")))
        {
            directory = directory.Parent;
        }

        return directory?.FullName ?? throw new DirectoryNotFoundException("The tests run outside of the checkout.");
    }

    [GeneratedRegex(@"^\s*(?<command>curl .*?)\s+# -> (?<status>\d{3})$")]
    private static partial Regex Example();

    [GeneratedRegex(@"http://127\.0\.0\.1:800(?<node>\d)")]
    private static partial Regex Address();
}
