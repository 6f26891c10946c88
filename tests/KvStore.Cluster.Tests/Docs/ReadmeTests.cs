using System.Text.RegularExpressions;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Cluster.Tests.Cli;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Docs;

/// <summary>The README, done as a newcomer does it: every command of it in its order. One that is not known here fails the test.</summary>
[Collection(ClusterCollection.Name)]
public sealed partial class ReadmeTests(ITestOutputHelper output)
{
    private static readonly string Readme = Checkout.Read("README.md");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Every_command_does_what_stands_behind_it()
    {
        await using var cluster = new ReadmeCluster();
        var early = new Queue<ReadmeCommand>();
        int ran = 0;
        foreach (ReadmeCommand command in ReadmeCommands.BlocksOf(Readme))
        {
            if (Up().IsMatch(command.Text))
            {
                bool isFirst = !cluster.IsUp;
                await cluster.UpAsync(command.Text, Cancellation);
                if (!isFirst)
                {
                    (await cluster.Client.Keyspace("orders").GetAsync<string>("hello"))!.Value.Should().Be("world", "the data of the first cluster stays");
                }
            }
            else if (command.Text.StartsWith("alias ", StringComparison.Ordinal))
            {
                cluster.Alias(command.Text);
                while (early.TryDequeue(out ReadmeCommand? shown))
                {
                    await RunAsync(cluster, shown);
                    ran++;
                }
            }
            else if (IsRunElsewhere(command))
            {
                output.WriteLine($"elsewhere: {command.Text}");
            }
            else if (!cluster.IsUp)
            {
                // What the page shows before it says how to start.
                early.Enqueue(command);
            }
            else
            {
                await RunAsync(cluster, command);
                ran++;
            }
        }

        early.Should().BeEmpty();
        ran.Should().BeGreaterThan(18);
        await cluster.StopAsync(Cancellation);
    }

    [Fact]
    public async Task Every_command_that_is_named_in_passing_exists()
    {
        foreach (string command in ReadmeCommands.InlineOf(Readme))
        {
            if (Kv().Match(command) is { Success: true } kv)
            {
                string path = kv.Groups["path"].Value;
                string[] words = path.Split(' ');
                KvRun help = await KvRun.Of([.. words, "--help"]);
                help.Code.Should().Be(ExitCode.Ok, command);
                help.Out.Should().Contain(words[^1], command);
            }
            else
            {
                command.Should().BeOneOf(
                    [
                        "kv --help",
                        "dotnet pack src/KvStore.Cli -c Release -o packages",
                        "dotnet tool install --global KvStore.Cli --add-source packages",
                    ],
                    "every command of the page is known here");
            }
        }
    }

    [Fact]
    public void The_test_that_the_page_shows_is_the_sample_that_is_built_and_run_with_all_tests()
    {
        ReadmeCommands.SnippetsOf(Readme).Should().Contain(Checkout.Read("samples/FirstTest/OrderTests.cs"));
        Checkout.Read("KvStore.sln").Should().Contain(@"samples\FirstTest\FirstTest.csproj");
    }

    [Theory]
    [InlineData("README.md")]
    public void Every_snippet_stands_in_a_test(string page)
    {
        string[] sources = [.. Checkout.SourcesBelow("tests/KvStore.Cluster.Tests/Docs").Concat(Checkout.SourcesBelow("samples")).Select(file => Plain(File.ReadAllText(file)))];
        foreach (string snippet in ReadmeCommands.SnippetsOf(Checkout.Read(page)))
        {
            sources.Should().Contain(source => source.Contains(Plain(snippet)), "this is shown, so it is compiled and run:\n{0}", snippet);
        }
    }

    /// <summary>What another part of the tests, or CI itself, runs; each with the proof that it does.</summary>
    private static bool IsRunElsewhere(ReadmeCommand command)
    {
        if (command.Text.StartsWith("dotnet test ", StringComparison.Ordinal))
        {
            Checkout.Read(".ci/run").Should().Contain("'^ *dotnet test .*' README.md", "CI runs the line that stands in the README");
            return true;
        }

        if (Demo().Match(command.Text) is { Success: true } demo)
        {
            Checkout.Read("tests/KvStore.Cluster.Tests/Demo/DemoTests.cs").Should().Contain($"\"--scenario\", \"{demo.Groups["name"].Value}\"", "DemoTests plays it");
            return true;
        }

        if (Project().Match(command.Text) is { Success: true } project)
        {
            Checkout.Read("KvStore.sln").Should().Contain(project.Groups["path"].Value.Replace('/', '\\') + "\\", "it is a test project of the solution");
            return true;
        }

        // Images are not built here. What runs inside of the containers runs in RunAsync.
        return command.Text == "docker compose up --build --wait";
    }

    private async Task RunAsync(ReadmeCluster cluster, ReadmeCommand command)
    {
        string text = command.Text;
        if (Exec().Match(text) is { Success: true } exec)
        {
            Checkout.Read("docker-compose.yml").Should().Contain($"\n  {exec.Groups["service"].Value}:\n", text);
            text = exec.Groups["command"].Value;
        }

        text.Should().MatchRegex("^(kv|curl) ", "every command of the page is known here");
        if (Status().Match(command.Comment) is { Success: true } status)
        {
            (int code, string told, string error) = await cluster.RunAsync($"{text} -s -o /dev/null -w '%{{http_code}}' --max-time 30", Cancellation);
            (code, told).Should().Be((0, status.Groups["code"].Value), "{0} {1}", text, error);
            return;
        }

        (int Code, string Out, string Error) run = await cluster.RunAsync(text, Cancellation);
        output.WriteLine($"{run.Code}: {text}\n{run.Out}{run.Error}");
        if (command.IsRefused)
        {
            run.Code.Should().NotBe(0, text);
            run.Error.Should().Contain("NoQuorum", text).And.Contain("The write had no effect", text);
        }
        else
        {
            run.Code.Should().Be(0, "{0} {1}", text, run.Error);
        }

        if (text.StartsWith("kv fault ", StringComparison.Ordinal))
        {
            await cluster.NoticeAsync(isHealed: text == "kv fault heal", Cancellation);
        }
    }

    /// <summary>What is left when the place in the file, comments, the addresses and the usings are taken away.</summary>
    private static string Plain(string code) => string.Join('\n', code.Split('\n')
        .Select(line => Endpoint().Replace(Comment().Replace(line, ""), "endpoint").Trim())
        .Where(line => line.Length > 0 && !line.StartsWith("using KvStore", StringComparison.Ordinal)));

    [GeneratedRegex(@"^dotnet run -c Release --project src/KvStore.Cli -- up\b")]
    private static partial Regex Up();

    [GeneratedRegex(@"^(source <\()?kv (?<path>(context|keyspace|fault|conflict|cluster) [a-z]+|[a-z]+)")]
    private static partial Regex Kv();

    [GeneratedRegex(@"^kv demo --scenario (?<name>\S+)$")]
    private static partial Regex Demo();

    [GeneratedRegex(@"^dotnet run -c Release --project (?<path>samples/\S+)$")]
    private static partial Regex Project();

    [GeneratedRegex(@"^docker compose exec (?<service>\w+) (?<command>.+)$")]
    private static partial Regex Exec();

    [GeneratedRegex(@"^-> (?<code>\d{3})$")]
    private static partial Regex Status();

    [GeneratedRegex(@"\s*// .*$")]
    private static partial Regex Comment();

    [GeneratedRegex(@"""http://127\.0\.0\.1:700\d""")]
    private static partial Regex Endpoint();
}
