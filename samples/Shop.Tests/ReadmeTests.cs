using System.Diagnostics;
using System.Text.RegularExpressions;
using FluentAssertions;
using KvStore.Contracts.V1;
using Xunit;

namespace Shop.Tests;

/// <summary>The commands of samples/README.md, run in their order as they stand there: curl against an instance of the shop, kv against its cluster.</summary>
public sealed partial class ReadmeTests(ShopCluster shop) : IClassFixture<ShopCluster>
{
    [Fact]
    public async Task Every_command_does_what_stands_behind_it()
    {
        string root = Root();
        string[] commands = [.. (await File.ReadAllLinesAsync(Path.Combine(root, "samples/README.md"))).Where(line => line.StartsWith("    ", StringComparison.Ordinal)).Select(line => line.Trim())];
        DirectoryInfo here = Directory.CreateTempSubdirectory("shop-");
        try
        {
            int ran = 0;
            foreach (string command in commands)
            {
                if (Curl().Match(command) is { Success: true } curl)
                {
                    string at = $"{curl.Groups["command"].Value.Replace("http://127.0.0.1:5080", shop.Left.Address.ToString().TrimEnd('/'), StringComparison.Ordinal)} -s -o /dev/null -w '%{{http_code}}' --max-time 30";
                    (await RunAsync(at, here)).Should().Be((0, curl.Groups["status"].Value), "{0}", command);
                    ran++;
                }
                else if (command.StartsWith("kv ", StringComparison.Ordinal))
                {
                    (await RunAsync($"dotnet '{Path.Combine(AppContext.BaseDirectory, "kv.dll")}' {command[3..]}", here)).Code.Should().Be(0, "{0}", command);
                    await NoticeAsync(isHealed: command.Contains("heal", StringComparison.Ordinal));
                    ran++;
                }
                else if (Project().Match(command) is { Success: true } project)
                {
                    Directory.EnumerateFiles(Path.Combine(root, project.Groups["path"].Value), "*.csproj").Should().ContainSingle("{0}", command);
                    ran++;
                }
                else
                {
                    command.Should().StartWith("alias kv=", "every command of the page is known here");
                }
            }

            ran.Should().BeGreaterThan(12);
        }
        finally
        {
            here.Delete(recursive: true);
        }
    }

    /// <summary>As much time as a person takes to type the next command: the nodes have noticed what was done to the network.</summary>
    private async Task NoticeAsync(bool isHealed)
    {
        if (isHealed)
        {
            await shop.Cluster.WaitUntilWholeAsync();
            await shop.SettleAsync();
            return;
        }

        await shop.Cluster.WaitUntilAsync("every node has noticed its cuts", async () =>
        {
            foreach (uint node in (uint[])[1, 2, 3])
            {
                uint[] cut = [.. (await shop.Cluster.Client.Admin.ListFaultsAsync(node)).Select(link => link.Peer)];
                if ((await shop.Cluster.StatusAsync(node)).Peers.Any(peer => cut.Contains(peer.Node) && peer.Reachability == Reachability.Up))
                {
                    return false;
                }
            }

            return true;
        });
    }

    private async Task<(int Code, string Output)> RunAsync(string command, DirectoryInfo directory)
    {
        using var shell = Process.Start(new ProcessStartInfo("bash", ["-c", command])
        {
            WorkingDirectory = directory.FullName,
            RedirectStandardOutput = true,
            Environment = { ["KV_ENDPOINTS"] = string.Join(',', shop.Cluster.Endpoints) },
        })!;
        string output = await shell.StandardOutput.ReadToEndAsync();
        await shell.WaitForExitAsync();
        return (shell.ExitCode, output.Trim());
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

    [GeneratedRegex(@"^(?<command>curl .*?)\s+# -> (?<status>\d{3})$")]
    private static partial Regex Curl();

    [GeneratedRegex(@"^dotnet run -c Release --project (?<path>\S+)")]
    private static partial Regex Project();
}
