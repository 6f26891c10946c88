using System.Text;
using System.Text.Json;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Cluster.Tests.Clusters;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

/// <summary><c>kv txn</c> against real nodes, and what it says to bad input.</summary>
[Collection(ClusterCollection.Name)]
public sealed class TransactionCommandTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>, IAsyncLifetime
{
    public async ValueTask InitializeAsync() => await nodes.HealAsync();

    public ValueTask DisposeAsync() => nodes.TellIfFailed(output);

    [Fact]
    public async Task Lines_and_json_say_the_same_and_the_exit_code_says_which_branch()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        KvRun opened = await TxnAsync(name, """
            # opens two accounts
            if
              absent {b}/a
            then:
              put {b}/a 100
              put {b}/b "fifty euros" ttl 10m
              get {b}/b
            else
              get {b}/a
            """);
        opened.Code.Should().Be(ExitCode.Ok, opened.Error);
        opened.Out.Should().Contain("then: the comparisons held").And.Contain("get     {b}/b: fifty euros, version ");

        JsonElement read = (await TxnAsync(name, """{"then": [{"get": "{b}/a"}, {"get": "{b}/none"}]}""", "-o", "json")).Json();
        read.GetProperty("branch").GetString().Should().Be("then");
        string version = read.GetProperty("results")[0].GetProperty("version").GetString()!;
        read.GetProperty("results")[1].GetProperty("found").GetBoolean().Should().BeFalse();

        string move = $"if\nversion {{b}}/a {version}\nvalue {{b}}/b \"fifty euros\"\nexists {{b}}/b\nthen\nput {{b}}/a 90\ndelete {{b}}/b\nelse\nget {{b}}/a";
        (await TxnAsync(name, move)).Code.Should().Be(ExitCode.Ok);
        KvRun late = await TxnAsync(name, move, "-o", "raw");
        late.Code.Should().Be(ExitCode.ConditionFailed, late.Error);
        late.Out.TrimEnd().Split('\t').Should().StartWith(["else", "get", "{b}/a"]).And.EndWith("90");
        (await nodes.KvAsync("get", "{b}/b", "-k", name)).Code.Should().Be(ExitCode.NotFound);
    }

    [Fact]
    public async Task Keys_of_several_shards_and_ap_keyspaces_are_refused()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        KvRun spread = await TxnAsync(name, "then\n" + string.Concat(Enumerable.Range(0, 30).Select(i => $"put k{i} v\n")));
        spread.Code.Should().Be(ExitCode.Usage);
        spread.Error.Should().Contain("tag in braces");
        KvRun open = await TxnAsync(await nodes.NewKeyspaceAsync("ap"), "then\nput k v");
        open.Code.Should().Be(ExitCode.Refused);
        open.Error.Should().Contain("A transaction needs one order of all writes");
    }

    [Theory]
    [InlineData("put k v", "Line 1 of the transaction can't be read: a transaction begins with 'if' or 'then'")]
    [InlineData("if\nis k 1", "Line 2 of the transaction can't be read: a comparison is")]
    [InlineData("then\n\nput k", "Line 3 of the transaction can't be read: an operation is")]
    [InlineData("then\nput k \"v", "a quoted word is not closed")]
    [InlineData("then\nput k \"\\q\"", "behind a \\ stands one of")]
    [InlineData("then\nput k v ttl soon", "'soon' is not a time to live")]
    [InlineData("if\nversion k zz", "'zz' (line 2) is not a version")]
    [InlineData("", "1 to 128")]
    [InlineData("{", "can't be read")]
    [InlineData("{\"when\": []}", "'when' is not one of the lists")]
    [InlineData("{\"then\": [1]}", "list of objects")]
    [InlineData("{\"then\": [{\"get\": 5}]}", "not of the type")]
    [InlineData("{\"then\": [{\"put\": \"k\"}]}", "a put has its key")]
    [InlineData("{\"then\": [{\"put\": \"k\", \"valueBase64\": \"%\"}]}", "base64")]
    [InlineData("{\"if\": [{\"key\": \"k\"}]}", "a comparison has its key")]
    [InlineData("{\"if\": [{\"key\": \"k\", \"exists\": true, \"colour\": 1}]}", "'colour' is none of")]
    public async Task Bad_input_is_refused_in_one_sentence_that_says_where(string text, string sentence)
    {
        var run = await KvRun.Of(["txn", "-k", "x", "-e", "http://127.0.0.1:1"], Encoding.UTF8.GetBytes(text));
        run.Error.TrimEnd().Should().Contain(sentence).And.StartWith("kv: ").And.NotContain("\n").And.NotContain("   at ");
        run.Code.Should().Be(ExitCode.Usage);
    }

    [Fact]
    public async Task A_file_that_is_not_there_ends_with_66_and_the_help_shows_examples()
    {
        (await KvRun.Of("txn", "/nowhere/at/all", "-k", "x")).Code.Should().Be(ExitCode.NoInput);
        (await KvRun.Of("txn", "--help")).Out.Should().Contain("Examples:").And.Contain("kv txn transfer.txt -k accounts").And.Contain("Exit code 0");
    }

    private Task<KvRun> TxnAsync(string keyspace, string text, params string[] more) => nodes.KvAsync(["txn", "-k", keyspace, .. more], Encoding.UTF8.GetBytes(text));
}
