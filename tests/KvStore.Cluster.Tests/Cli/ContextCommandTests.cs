using System.Text.Json;
using FluentAssertions;
using KvStore.Cli;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

public sealed class ContextCommandTests : IDisposable
{
    private readonly string _file = Path.Combine(Directory.CreateTempSubdirectory("kv-contexts-").FullName, "below", "contexts.json");

    public void Dispose() => Directory.Delete(Path.GetDirectoryName(Path.GetDirectoryName(_file))!, recursive: true);

    [Fact]
    public async Task A_context_is_saved_chosen_shown_replaced_and_forgotten()
    {
        (await KvAsync("context", "list", "-o", "json")).Json().GetArrayLength().Should().Be(0);
        (await KvAsync("context", "show")).Code.Should().Be(ExitCode.NotFound, "none is chosen");
        (await KvAsync("context", "set", "prod", "-e", "kv1:7001", "-e", "http://kv2:7001", "-k", "orders")).Code.Should().Be(ExitCode.Ok);
        (await KvAsync("context", "set", "away", "-e", "kv9:7001")).Code.Should().Be(ExitCode.Ok);
        (await KvAsync("context", "use", "prod")).Code.Should().Be(ExitCode.Ok);
        JsonElement[] listed = [.. (await KvAsync("context", "list", "-o", "json")).Json().EnumerateArray()];
        listed.Select(context => (context.GetProperty("name").GetString(), context.GetProperty("current").GetBoolean())).Should().Equal(("away", false), ("prod", true));
        listed[1].GetProperty("endpoints").EnumerateArray().Select(endpoint => endpoint.GetString()).Should().Equal("http://kv1:7001", "http://kv2:7001");
        (await KvAsync("context", "show", "-o", "raw")).Out.Should().Contain("*\tprod\thttp://kv1:7001,http://kv2:7001\torders");

        (await KvAsync("context", "set", "prod", "-e", "kv3:7001")).Code.Should().Be(ExitCode.Ok);
        (await KvAsync("context", "show", "prod", "-o", "raw")).Out.Should().Contain("*\tprod\thttp://kv3:7001\t", "a replaced context stays chosen");
        (await KvAsync("context", "clear")).Code.Should().Be(ExitCode.Ok);
        (await KvAsync("context", "show")).Code.Should().Be(ExitCode.NotFound);
        (await KvAsync("context", "use", "prod")).Code.Should().Be(ExitCode.Ok);
        (await KvAsync("context", "remove", "prod")).Code.Should().Be(ExitCode.Ok);
        (await KvAsync("context", "remove", "prod")).Code.Should().Be(ExitCode.NotFound);
        (await KvAsync("context", "show")).Code.Should().Be(ExitCode.NotFound, "what is forgotten is not chosen either");
    }

    [Theory]
    [InlineData(ExitCode.Usage, "can't be the name", "context", "set", "a b", "-e", "kv1:7001")]
    [InlineData(ExitCode.Usage, "--endpoint", "context", "set", "prod")]
    [InlineData(ExitCode.Usage, "not an endpoint", "context", "set", "prod", "-e", "ftp://kv1")]
    [InlineData(ExitCode.Usage, "can't be the name of a keyspace", "context", "set", "prod", "-e", "kv1:7001", "-k", "")]
    [InlineData(ExitCode.NotFound, "kv context list", "context", "use", "nowhere")]
    [InlineData(ExitCode.NotFound, "kv context set nowhere", "--cluster", "nowhere", "keyspace", "list")]
    [InlineData(ExitCode.Usage, "contradict", "--cluster", "prod", "-e", "kv1:7001", "keyspace", "list")]
    public async Task What_is_wrong_is_said_in_one_sentence(ExitCode code, string saying, params string[] arguments)
    {
        KvRun run = await KvAsync(arguments);
        run.Code.Should().Be(code, run.Error);
        run.Error.Should().StartWith("kv: ").And.Contain(saying);
        File.Exists(_file).Should().BeFalse("nothing is written that was refused");
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("{}")]
    [InlineData("""{"current":null,"contexts":[{"name":"prod","endpoints":[]}]}""")]
    [InlineData("""{"current":null,"contexts":[null]}""")]
    public async Task A_file_that_is_damaged_is_named_and_left_alone(string content)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(_file)!);
        await File.WriteAllTextAsync(_file, content, TestContext.Current.CancellationToken);
        KvRun run = await KvAsync("context", "set", "prod", "-e", "kv1:7001");
        run.Code.Should().Be(ExitCode.NoInput);
        run.Error.Should().Contain(_file).And.Contain("mend it");
        (await File.ReadAllTextAsync(_file, TestContext.Current.CancellationToken)).Should().Be(content);
        (await KvAsync("[suggest:12]", "context use ")).Code.Should().Be(ExitCode.Ok, "the Tab key shows no errors");
    }

    [Fact]
    public async Task The_tab_key_knows_commands_and_contexts()
    {
        await KvAsync("context", "set", "prod", "-e", "kv1:7001");
        (await KvAsync("[suggest:15]", "kv context use ")).Out.Split('\n', StringSplitOptions.TrimEntries).Should().Contain("prod");
        (await KvAsync("[suggest:14]", "kv keyspace cr")).Out.Split('\n', StringSplitOptions.TrimEntries).Should().Contain("create");
        foreach (string shell in (string[])["bash", "zsh", "fish", "pwsh"])
        {
            (await KvAsync("completion", shell)).Out.Should().Contain("[suggest:");
        }

        (await KvAsync("completion", "ksh")).Code.Should().Be(ExitCode.Usage);
    }

    private Task<KvRun> KvAsync(params string[] arguments) => KvRun.Of(arguments, input: null, new Dictionary<string, string> { ["KV_CONTEXTS"] = _file });
}
