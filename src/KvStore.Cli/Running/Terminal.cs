using KvStore.Client;

namespace KvStore.Cli.Running;

/// <summary>Everything a command may see of its surroundings, so that tests can run commands in their own process.</summary>
internal sealed class Terminal
{
    public required TextWriter Out { get; init; }

    public required TextWriter Error { get; init; }

    /// <summary>Standard output without an encoding, for values that are not text. Flush <see cref="Out"/> before writing to it.</summary>
    public required Stream RawOut { get; init; }

    public required Stream In { get; init; }

    /// <summary>Whether a person looks at standard output: then tables have lines and colours. Otherwise everything is plain text.</summary>
    public required bool IsInteractive { get; init; }

    public required Func<string, string?> Environment { get; init; }

    /// <summary>Makes the client of a cluster.</summary>
    public required Func<KvClientOptions, IKvClient> Connect { get; init; }

    /// <summary>Clients belong to whoever made <see cref="Connect"/>: a command leaves them open.</summary>
    public bool KeepsConnections { get; init; }

    /// <summary>What Ctrl-C does.</summary>
    public Interruptions Interruptions { get; init; } = new();

    /// <summary>The process's own streams.</summary>
    public static Terminal OfProcess() => new()
    {
        Out = Console.Out,
        Error = Console.Error,
        RawOut = Console.OpenStandardOutput(),
        In = Console.OpenStandardInput(),
        IsInteractive = !Console.IsOutputRedirected && System.Environment.GetEnvironmentVariable("NO_COLOR") is null,
        Environment = System.Environment.GetEnvironmentVariable,
        Connect = options => KvClient.Create(options),
    };
}
