using KvStore.Cli.LocalCluster;

namespace KvStore.Cli.Running;

/// <summary>Decides which cluster a command talks to.</summary>
internal static class Endpoints
{
    public const string Variable = "KV_ENDPOINTS";

    public const string Fallback = "http://127.0.0.1:7001";

    /// <summary>The given endpoints, else those of the environment, else those of the local cluster, else <see cref="Fallback"/>.</summary>
    /// <exception cref="CliFailure">One of them is not an address.</exception>
    public static IReadOnlyList<Uri> Resolve(IReadOnlyList<string> given, Terminal terminal)
    {
        if (given.Count > 0)
        {
            return [.. given.SelectMany(Split).Select(text => Parse(text, "--endpoint"))];
        }

        if (terminal.Environment(Variable) is { Length: > 0 } listed && Split(listed).ToArray() is { Length: > 0 } fromEnvironment)
        {
            return [.. fromEnvironment.Select(text => Parse(text, "$" + Variable))];
        }

        var running = RunningCluster.Load(new ClusterDirectory(ClusterDirectory.Default));
        return running is { Nodes.Count: > 0 }
            ? [.. running.Nodes.Select(node => new Uri(node.Address))]
            : [new Uri(Fallback)];
    }

    private static IEnumerable<string> Split(string text) => text.Split([',', ';', ' '], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    private static Uri Parse(string text, string source)
    {
        var full = text.Contains("://", StringComparison.Ordinal) ? text : "http://" + text;
        if (!Uri.TryCreate(full, UriKind.Absolute, out var endpoint) || endpoint.Scheme is not ("http" or "https") || endpoint.Host.Length == 0)
        {
            throw CliFailure.Usage($"'{text}' (from {source}) is not an endpoint; write it like http://127.0.0.1:7001 or 127.0.0.1:7001.");
        }

        return endpoint;
    }
}
