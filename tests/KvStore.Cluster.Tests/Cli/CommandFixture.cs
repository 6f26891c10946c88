using System.Text.Json;
using FluentAssertions;
using KvStore.Cli;
using KvStore.Cluster.Tests.Clusters;

namespace KvStore.Cluster.Tests.Cli;

/// <summary>Commands against the real cluster of a test class.</summary>
internal static class CommandFixture
{
    /// <summary>Runs kv with the cluster's endpoints in its environment.</summary>
    public static Task<KvRun> KvAsync(this ThreeNodes nodes, params string[] arguments) => nodes.KvAsync(arguments, input: null);

    public static Task<KvRun> KvAsync(this ThreeNodes nodes, string[] arguments, byte[]? input) =>
        KvRun.Of(arguments, input, new Dictionary<string, string> { ["KV_ENDPOINTS"] = string.Join(',', nodes.Cluster.Endpoints) });

    /// <summary>Runs kv and expects it to succeed.</summary>
    public static async Task<KvRun> MustKvAsync(this ThreeNodes nodes, params string[] arguments)
    {
        KvRun run = await nodes.KvAsync(arguments);
        run.Code.Should().Be(ExitCode.Ok, $"'kv {string.Join(' ', arguments)}' said: {run.Error}{run.Out}");
        return run;
    }

    /// <summary>Creates a keyspace with a name of its own.</summary>
    public static async Task<string> NewKeyspaceAsync(this ThreeNodes nodes, string policy)
    {
        string name = nodes.NewName(policy);
        await nodes.MustKvAsync("keyspace", "create", name, "--policy", policy, "--shards", "2");
        return name;
    }

    public static JsonElement Json(this KvRun run) => JsonDocument.Parse(run.Out).RootElement;
}
