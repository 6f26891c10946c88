using System.Text;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Cli.Running;
using KvStore.Cli.Shell;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

[Collection(ClusterCollection.Name)]
public sealed class ShellTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Lines_are_commands_with_what_was_said_before()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        string other = await nodes.NewKeyspaceAsync("ap");
        KvRun run = await ShellAsync(
            $"""
            # what follows is in the keyspace of the command line
            put greeting 'hello  world'
            get greeting -o raw

            use {other}
            put greeting "a \"quoted\" one"
            get greeting -o raw
            get greeting -k {name} -o raw
            exit
            get never -o raw
            """,
            "-k",
            name);
        run.Code.Should().Be(ExitCode.Ok, run.Error);
        Encoding.UTF8.GetString(run.RawOut).Should().Be("hello  worlda \"quoted\" onehello  world");
    }

    [Fact]
    public async Task From_a_file_the_first_line_that_fails_ends_it_unless_it_is_told_to_go_on()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        const string Lines = "get nothing\nput after it\nnonsense";
        KvRun run = await ShellAsync(Lines, "-k", name);
        run.Code.Should().Be(ExitCode.NotFound);
        run.Error.Should().Contain("'nothing' has no value").And.Contain("line 1");
        (await nodes.KvAsync("get", "after", "-k", name)).Code.Should().Be(ExitCode.NotFound);

        KvRun onwards = await ShellAsync(Lines, "-k", name, "--keep-going");
        onwards.Code.Should().Be(ExitCode.Usage, "that is how the last line ended");
        (await nodes.KvAsync("get", "after", "-k", name)).Code.Should().Be(ExitCode.Ok);
    }

    [Theory]
    [InlineData("put a 'open", "not closed")]
    [InlineData("put a b\\", "backslash")]
    [InlineData("use", "use NAME")]
    [InlineData("use ''", "can't be the name")]
    [InlineData("shell", "exit")]
    [InlineData("put a", "No value is given")]
    public async Task What_is_wrong_with_a_line_is_said_in_one_sentence(string line, string saying)
    {
        KvRun run = await ShellAsync(line, "-k", "orders");
        run.Code.Should().Be(ExitCode.Usage);
        run.Error.Should().StartWith("kv: ").And.Contain(saying);
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("  get   a ", "get|a")]
    [InlineData("put a ''", "put|a|")]
    [InlineData("put a '{\"b\": \"c\\d\"}'", "put|a|{\"b\": \"c\\d\"}")]
    [InlineData("put a \"it's\"x'y z'", "put|a|it'sxy z")]
    [InlineData("put \\#a b#c # d", "put|#a|b#c")]
    public void Words_are_split_as_shells_do(string line, string words) => string.Join('|', CommandWords.Split(line)).Should().Be(words);

    [Fact]
    public void Only_who_asked_for_interruptions_takes_them()
    {
        var interruptions = new Interruptions();
        int taken = 0;
        interruptions.TryTake().Should().BeFalse("then Ctrl-C ends the program");
        using (interruptions.TakenBy(() => taken++))
        {
            interruptions.TryTake().Should().BeTrue();
        }

        interruptions.TryTake().Should().BeFalse();
        taken.Should().Be(1);
    }

    private Task<KvRun> ShellAsync(string lines, params string[] arguments) => nodes.KvAsync(["shell", .. arguments], Encoding.UTF8.GetBytes(lines));
}
