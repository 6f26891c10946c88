using System.Diagnostics;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Client;
using KvStore.Cluster.Tests.Cli;
using KvStore.Cluster.Tests.Client;
using KvStore.Contracts.V1;
using Xunit;

namespace KvStore.Cluster.Tests.BadInput;

/// <summary>
/// The client and <c>kv</c> are pointed at what is no node: an error that names the endpoint and says what answers there, and a write is never called unknown. At once where it can't be a node; at the deadline where a
/// node may still come up.
/// </summary>
public sealed class StrangeServerTests(ITestOutputHelper output)
{
    /// <summary>Far away: what ends before it has not waited for it.</summary>
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan Short = TimeSpan.FromSeconds(2);

    /// <summary>For a busy machine: the error must not wait for anything but the timeout.</summary>
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(30);

    public static TheoryData<Stranger, string> NoNodes { get; } = new()
    {
        { Stranger.PlainHttp, "is a server of HTTP/1" },
        { Stranger.RawHttp, "is a server of HTTP/1" },
        { Stranger.Http2Pages, "is a web server, which answers with a page" },
        { Stranger.OtherGrpc, "has no interface of KvStore, or one of another version" },
        { Stranger.Greeter, "speaks something else than HTTP/2" },
    };

    public static TheoryData<Stranger, string> MaybeNodes { get; } = new()
    {
        { Stranger.Silent, "takes connections and does not answer" },
        { Stranger.Closer, "ends the connection without an answer" },
        { Stranger.ProxyInVain, "503" },
    };

    [Theory]
    [MemberData(nameof(NoNodes))]
    public async Task What_can_be_no_node_ends_calls_at_once_and_is_named(Stranger kind, string words)
    {
        await using StrangeServer server = await StrangeServer.StartAsync(kind);
        await using KvClient client = ClientOf(Long, server.Address);
        await RefusedAsync(client, KvCode.Unsupported, $"http://{server.Address} {words}");
        await RefusedAsync(() => client.GetTopologyAsync().AsTask(), KvCode.Unsupported, $"http://{server.Address} {words}");
        KvException listed = await FailureOf(() => client.Admin.ListKeyspacesAsync().AsTask());
        (listed.Code, listed.OutcomeUnknown).Should().Be((KvCode.Unsupported, false));
        listed.Message.Should().Contain($"http://{server.Address} {words}").And.Contain("Check the endpoints");
    }

    [Theory]
    [MemberData(nameof(MaybeNodes))]
    public async Task Where_a_node_may_come_up_calls_wait_until_their_deadline_and_then_say_what_was_found(Stranger kind, string words)
    {
        await using StrangeServer server = await StrangeServer.StartAsync(kind);
        await using KvClient client = ClientOf(Short, server.Address);
        string[] said = [$"http://{server.Address} ", words, "check the endpoints and that the nodes run"];
        await Task.WhenAll(RefusedAsync(client, KvCode.Unavailable, said), RefusedAsync(() => client.GetTopologyAsync().AsTask(), KvCode.Unavailable, said));
    }

    [Fact]
    public async Task Where_one_of_several_may_be_a_node_calls_wait_and_then_name_each()
    {
        await using StrangeServer pages = await StrangeServer.StartAsync(Stranger.Http2Pages);
        await using StrangeServer closer = await StrangeServer.StartAsync(Stranger.Closer);
        await using KvClient client = ClientOf(Short, pages.Address, closer.Address);
        await RefusedAsync(
            () => client.Keyspace("orders").PutAsync("k", "v").AsTask(), KvCode.Unavailable, $"http://{pages.Address} is a web server", $"http://{closer.Address} ends the connection", "never sent", "The write had no effect");
    }

    [Fact]
    public async Task A_stranger_among_the_endpoints_keeps_nobody_from_the_node_beside_it()
    {
        await using StrangeServer stranger = await StrangeServer.StartAsync(Stranger.OtherGrpc);
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        await using KvClient client = ClientOf(Long, stranger.Address, cluster.Nodes[0].Address);
        (await client.Keyspace("ks").PutAsync("k", "v")).Outcome.Should().Be(KvOutcome.Done);

        await using KvClient other = ClientOf(Long, stranger.Address, cluster.Nodes[0].Address);
        KvException refused = await FailureOf(() => other.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = "new", Policy = PartitionPolicy.Cp }).AsTask());
        refused.Code.Should().Be(KvCode.NoQuorum, "that is what the node says");
    }

    [Theory]
    [MemberData(nameof(NoNodes))]
    public async Task The_command_line_ends_with_4_and_one_sentence_where_no_node_answers(Stranger kind, string words) =>
        await EndsAsync(kind, words, "5m", ExitCode.Refused);

    [Theory]
    [MemberData(nameof(MaybeNodes))]
    public async Task The_command_line_ends_with_69_and_one_sentence_where_a_node_may_come_up(Stranger kind, string words) =>
        await EndsAsync(kind, words, "2s", ExitCode.Unavailable);

    private static KvClient ClientOf(TimeSpan timeout, params string[] addresses)
    {
        var options = new KvClientOptions { DefaultTimeout = timeout };
        foreach (string address in addresses)
        {
            options.Endpoints.Add($"http://{address}");
        }

        return KvClient.Create(options);
    }

    private static async Task<KvException> FailureOf(Func<Task> call) => (await call.Should().ThrowAsync<KvException>()).Which;

    private async Task EndsAsync(Stranger kind, string words, string timeout, ExitCode code)
    {
        await using StrangeServer server = await StrangeServer.StartAsync(kind);
        string[][] commands = [["get", "a", "-k", "x"], ["put", "a", "b", "-k", "x"], ["scan", "-k", "x"], ["watch", "a", "-k", "x"], ["member", "list"]];
        await Task.WhenAll(commands.Select(async arguments =>
        {
            long begun = Stopwatch.GetTimestamp();
            KvRun run = await KvRun.Of([.. arguments, "--endpoint", server.Address, "--timeout", timeout]);
            output.WriteLine($"{string.Join(' ', arguments)}: {run.Code}: {run.Error}");
            run.Code.Should().Be(code, run.Error);
            run.Error.TrimEnd().Should().StartWith("kv: ").And.NotContain("\n").And.NotContain("   at ");
            run.Error.Should().Contain(server.Address).And.Contain(words);
            Stopwatch.GetElapsedTime(begun).Should().BeLessThan(Bound);
        }));
    }

    private async Task RefusedAsync(KvClient client, KvCode code, params string[] words)
    {
        IKvKeyspace keyspace = client.Keyspace("orders");
        string[] ofWrites = [.. words, "never sent", "The write had no effect"];
        await Task.WhenAll(
            RefusedAsync(() => keyspace.GetAsync<string>("k").AsTask(), code, [.. words, "never sent"]),
            RefusedAsync(() => keyspace.PutAsync("k", "v").AsTask(), code, ofWrites),
            RefusedAsync(() => keyspace.TryPutAsync("k", "v", KvVersion.Absent).AsTask(), code, ofWrites),
            RefusedAsync(() => keyspace.DeleteAsync("k").AsTask(), code, ofWrites));
    }

    private async Task RefusedAsync(Func<Task> call, KvCode code, params string[] words)
    {
        long begun = Stopwatch.GetTimestamp();
        KvException refused = await FailureOf(call);
        output.WriteLine($"{refused.Code}, {refused.Phase}: {refused.Message}");
        Stopwatch.GetElapsedTime(begun).Should().BeLessThan(Bound);
        (refused.Code, refused.OutcomeUnknown, refused.Phase).Should().Be((code, false, KvPhase.Connecting));
        words.Should().AllSatisfy(word => refused.Message.Should().Contain(word));
    }
}
