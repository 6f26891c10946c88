using System.Diagnostics;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Client;
using KvStore.Cluster.Tests.Cli;
using Xunit;

namespace KvStore.Cluster.Tests.BadInput;

/// <summary>The client and <c>kv</c> are pointed at what is no node: an error that says so within the deadline, and a write is never called unknown.</summary>
public sealed class StrangeServerTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(2);

    /// <summary>For a busy machine: the error must not wait for anything but the timeout.</summary>
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);

    public static TheoryData<Stranger> Strangers { get; } = [.. Enum.GetValues<Stranger>()];

    [Theory]
    [MemberData(nameof(Strangers))]
    public async Task The_client_says_that_it_reached_no_node_and_that_nothing_was_written(Stranger kind)
    {
        await using StrangeServer server = await StrangeServer.StartAsync(kind);
        await using var client = KvClient.Create(new KvClientOptions { Endpoints = { $"http://{server.Address}" }, DefaultTimeout = Timeout });
        IKvKeyspace keyspace = client.Keyspace("orders");
        await RefusedAsync(async () => await keyspace.GetAsync<string>("k"));
        await RefusedAsync(async () => await keyspace.PutAsync("k", "v"));
        await RefusedAsync(async () => await keyspace.DeleteAsync("k"));
    }

    [Theory]
    [MemberData(nameof(Strangers))]
    public async Task The_command_line_ends_with_69_or_4_and_one_sentence(Stranger kind)
    {
        await using StrangeServer server = await StrangeServer.StartAsync(kind);
        foreach (string[] arguments in (string[][])[["get", "a", "-k", "x"], ["put", "a", "b", "-k", "x"], ["keyspace", "list"], ["member", "list"]])
        {
            long begun = Stopwatch.GetTimestamp();
            KvRun run = await KvRun.Of([.. arguments, "--endpoint", server.Address, "--timeout", "2s"]);
            output.WriteLine($"{string.Join(' ', arguments)}: {run.Code}: {run.Error}");
            run.Code.Should().BeOneOf([ExitCode.Unavailable, ExitCode.Refused], run.Error);
            run.Error.TrimEnd().Should().StartWith("kv: ").And.NotContain("\n").And.NotContain("   at ");
            Stopwatch.GetElapsedTime(begun).Should().BeLessThan(Bound);
        }
    }

    private async Task RefusedAsync(Func<Task> call)
    {
        long begun = Stopwatch.GetTimestamp();
        KvException refused = (await call.Should().ThrowAsync<KvException>()).Which;
        output.WriteLine($"{refused.Code}, {refused.Phase}: {refused.Message}");
        Stopwatch.GetElapsedTime(begun).Should().BeLessThan(Bound);
        refused.OutcomeUnknown.Should().BeFalse();
        refused.Code.Should().BeOneOf(KvCode.Unavailable, KvCode.Unsupported, KvCode.DeadlineExceeded);
        refused.Message.Should().Contain("never sent");
    }
}
