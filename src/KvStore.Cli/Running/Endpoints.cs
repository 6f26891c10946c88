using KvStore.Cli.Contexts;
using KvStore.Cli.LocalCluster;

namespace KvStore.Cli.Running;

/// <summary>Decides which cluster a command talks to.</summary>
internal static class Endpoints
{
    public const string Variable = "KV_ENDPOINTS";

    public const string Fallback = "http://127.0.0.1:7001";

    /// <summary>The context that is meant: the one that is named, else the chosen one; null where addresses are given otherwise, or where there is none.</summary>
    /// <exception cref="CliFailure">There is none of this name.</exception>
    public static SavedContext? ContextOf(IReadOnlyList<string> given, string? named, Terminal terminal)
    {
        if (named is not null)
        {
            return given.Count == 0 ? ContextFile.Load(terminal).Get(named) : throw CliFailure.Usage("--endpoint and --cluster contradict each other; give one of them.");
        }

        if (given.Count > 0 || terminal.Environment(Variable) is { Length: > 0 })
        {
            return null;
        }

        var file = ContextFile.Load(terminal);
        return file.Current is { } current ? file.Get(current) : null;
    }

    /// <summary>The given endpoints, else those of the named context, of the environment, of the chosen context, of the local cluster, else <see cref="Fallback"/>.</summary>
    /// <exception cref="CliFailure">One of them is not an address.</exception>
    public static IReadOnlyList<Uri> Resolve(IReadOnlyList<string> given, SavedContext? context, Terminal terminal)
    {
        if (given.Count > 0)
        {
            return [.. given.SelectMany(Split).Select(text => Parse(text, "--endpoint"))];
        }

        if (context is not null)
        {
            return [.. context.Endpoints.Select(text => Parse(text, $"context '{context.Name}'"))];
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
