using System.CommandLine;

namespace KvStore.Cli.Running;

/// <summary>The options that every command understands.</summary>
internal sealed class GlobalOptions
{
    public static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(10);

    /// <summary>Where to find the cluster. Empty: see <see cref="Endpoints"/>.</summary>
    public Option<string[]> Endpoint { get; } = new("--endpoint", "-e")
    {
        Description = "A node's address, http://host:port or host:port; repeat it for several. Default: $KV_ENDPOINTS (separated by commas), "
            + "else the context chosen with 'kv context use', else the cluster started by 'kv up' in this directory, else http://127.0.0.1:7001.",
        HelpName = "URL",
        Recursive = true,
        Arity = ArgumentArity.OneOrMore,
    };

    /// <summary>A saved context, for this command only. (Not <c>--context</c>: that is what a put has seen.)</summary>
    public Option<string?> Cluster { get; } = new("--cluster")
    {
        Description = "A cluster saved with 'kv context set', instead of its addresses.",
        HelpName = "CONTEXT",
        Recursive = true,
    };

    /// <summary>One deadline for each operation, all attempts included.</summary>
    public Option<TimeSpan?> Timeout { get; } = new("--timeout")
    {
        Description = "The longest that one operation may take, all attempts included, such as 500ms, 10s or 2m (1ms to 10m). Default: 10s.",
        HelpName = "TIME",
        Recursive = true,
        CustomParser = result => Quantities.ParseTime(result, TimeSpan.FromMilliseconds(1), TimeSpan.FromMinutes(10)),
    };

    /// <summary>Adds the options to the root command.</summary>
    public void AddTo(RootCommand root)
    {
        root.Add(Endpoint);
        root.Add(Cluster);
        root.Add(Timeout);
    }
}
