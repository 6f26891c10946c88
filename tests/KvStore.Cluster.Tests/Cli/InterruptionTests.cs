using System.Diagnostics;
using System.Globalization;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Cluster.Tests.Client;
using KvStore.Cluster.Tests.Clusters;
using KvStore.Cluster.Tests.Processes;
using Xunit;

namespace KvStore.Cluster.Tests.Cli;

/// <summary>Ctrl-C while <c>kv</c> waits: the program itself, with a real signal. It ends as documented, and says what is unknown where something was being changed.</summary>
[Collection(ClusterCollection.Name)]
public sealed class InterruptionTests(ThreeNodes nodes, ITestOutputHelper output) : IClassFixture<ThreeNodes>
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("put", "a", "b")]
    [InlineData("del", "a")]
    [InlineData("incr", "a")]
    [InlineData("cas", "a", "absent", "b")]
    public async Task A_write_that_is_interrupted_says_that_its_outcome_is_unknown(params string[] command)
    {
        (int code, string said, string errors) = await InterruptedAsync(command);
        code.Should().Be((int)ExitCode.Interrupted, errors);
        said.Should().BeEmpty();
        errors.TrimEnd().Should().Be("kv: Interrupted before an answer came, so whether it was done is unknown; look at the state before trying again.");
    }

    [Theory]
    [InlineData("get", "a")]
    [InlineData("scan")]
    public async Task A_read_that_is_interrupted_ends_without_a_word(params string[] command)
    {
        (int code, string said, string errors) = await InterruptedAsync(command);
        (code, said, errors).Should().Be(((int)ExitCode.Interrupted, "", ""));
    }

    [Fact]
    public async Task A_watch_that_is_interrupted_ends_well_and_says_where_to_go_on()
    {
        string name = await nodes.NewKeyspaceAsync("cp");
        await nodes.MustKvAsync("put", "a", "1", "-k", name);
        using Process kv = Start(["watch", "--all", "--initial", "-k", name, "--endpoint", nodes.Cluster.Endpoints.First()]);
        try
        {
            Task<string> errors = kv.StandardError.ReadToEndAsync(Cancellation);
            using var deadline = new CancellationTokenSource(NodeProcess.Deadline);
            string line = "";
            while (!line.StartsWith("caught-up", StringComparison.Ordinal))
            {
                line = await kv.StandardOutput.ReadLineAsync(deadline.Token) ?? throw new InvalidOperationException(await errors);
            }

            await InterruptAsync(kv);
            (kv.ExitCode, await errors).Should().Match<(int Code, string Error)>(end => end.Code == 0 && end.Error.StartsWith("go on with --from-token "));
        }
        finally
        {
            kv.Kill();
        }
    }

    /// <summary>Starts it, waits until the node has received what it asks, and interrupts it.</summary>
    private async Task<(int Code, string Out, string Error)> InterruptedAsync(string[] command)
    {
        await using FakeCluster cluster = await FakeCluster.StartAsync(nodes: 1);
        cluster.Nodes[0].Script = _ => null;
        using Process kv = Start([.. command, "-k", "ks", "--endpoint", cluster.Nodes[0].Address, "--timeout", "10m"]);
        try
        {
            Task<string> said = kv.StandardOutput.ReadToEndAsync(Cancellation);
            Task<string> errors = kv.StandardError.ReadToEndAsync(Cancellation);
            using (var deadline = new CancellationTokenSource(NodeProcess.Deadline))
            using (var look = new PeriodicTimer(TimeSpan.FromMilliseconds(10)))
            {
                while (cluster.Nodes[0].Received.IsEmpty && !kv.HasExited)
                {
                    await look.WaitForNextTickAsync(deadline.Token);
                }
            }

            await InterruptAsync(kv);
            output.WriteLine($"{kv.ExitCode}: {await errors}");
            return (kv.ExitCode, await said, await errors);
        }
        finally
        {
            kv.Kill();
        }
    }

    private static async Task InterruptAsync(Process kv)
    {
        using (Process kill = Process.Start("kill", ["-INT", kv.Id.ToString(CultureInfo.InvariantCulture)]))
        {
            await kill.WaitForExitAsync(Cancellation);
        }

        using var end = new CancellationTokenSource(NodeProcess.Deadline);
        await kv.WaitForExitAsync(end.Token);
    }

    private static Process Start(string[] arguments)
    {
        ProcessStartInfo start = new("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(typeof(ExitCode).Assembly.Location);
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (string variable in start.Environment.Keys.Where(name => name.StartsWith("KV_", StringComparison.Ordinal)).ToList())
        {
            start.Environment.Remove(variable);
        }

        return Process.Start(start)!;
    }
}
