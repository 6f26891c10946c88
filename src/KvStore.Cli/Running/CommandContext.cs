using System.CommandLine;
using KvStore.Cli.Contexts;
using KvStore.Cli.Output;
using KvStore.Client;

namespace KvStore.Cli.Running;

/// <summary>What one running command has in its hands: its arguments, its surroundings, and the cluster, which is connected when first used.</summary>
internal sealed class CommandContext(ParseResult parsed, CommandHost host, CancellationToken stop) : IAsyncDisposable
{
    private IKvClient? _client;

    public Terminal Terminal => host.Terminal;

    /// <summary>Cancelled by Ctrl-C and by termination.</summary>
    public CancellationToken Stop => stop;

    /// <summary>The same, for a call that changes something: from now on an interruption leaves open whether it was done.</summary>
    public CancellationToken StopChanging
    {
        get
        {
            HasBegunChange = true;
            return stop;
        }
    }

    /// <summary>A call that changes something was begun.</summary>
    public bool HasBegunChange { get; private set; }

    public TimeSpan Timeout => parsed.GetValue(host.Globals.Timeout) ?? GlobalOptions.DefaultTimeout;

    public bool TimeoutWasGiven => parsed.GetValue(host.Globals.Timeout) is not null;

    /// <summary>The addresses to talk to. Resolved on demand: commands that need no cluster do not read its state.</summary>
    public IReadOnlyList<Uri> Endpoints => field ??= Running.Endpoints.Resolve(GivenEndpoints, SavedContext, Terminal);

    /// <summary>Whether the command line itself says where the cluster is.</summary>
    public bool EndpointsWereGiven => GivenEndpoints.Length > 0;

    /// <summary>The saved context that the command works in, if it does.</summary>
    public SavedContext? SavedContext => Running.Endpoints.ContextOf(GivenEndpoints, parsed.GetValue(host.Globals.Cluster), Terminal);

    private string[] GivenEndpoints => parsed.GetValue(host.Globals.Endpoint) ?? [];

    /// <summary>The cluster. Connected at the first use.</summary>
    public IKvClient Client => _client ??= host.Terminal.Connect(ClientOptions());

    public T? Value<T>(Option<T> option) => parsed.GetValue(option);

    public T? Value<T>(Argument<T> argument) => parsed.GetValue(argument);

    /// <summary>Whether the option stands on the command line.</summary>
    public bool WasGiven(Option option) => parsed.GetResult(option) is { Implicit: false };

    /// <summary>A line of the answer.</summary>
    public void Line(string text) => Terminal.Out.WriteLine(text);

    /// <summary>A table of the answer, for people.</summary>
    public void Write(TextTable table) => table.Write(Terminal.Out, Terminal.IsInteractive);

    /// <summary>A remark on what is going on. It goes to stderr, so that it never mixes with an answer.</summary>
    public void Note(string text) => Terminal.Error.WriteLine(text);

    /// <summary>Something that is wrong but does not end the command.</summary>
    public void Complain(string sentence) => Terminal.Error.WriteLine("kv: " + sentence);

    /// <summary>A keyspace by name.</summary>
    /// <exception cref="CliFailure">The name can't be one.</exception>
    public IKvKeyspace Keyspace(string? name)
    {
        try
        {
            return Client.Keyspace(name ?? "");
        }
        catch (ArgumentException exception)
        {
            throw CliFailure.Usage($"'{name}' can't be the name of a keyspace: {Failures.Sentence(exception.Message)}");
        }
    }

    public ValueTask DisposeAsync() => Terminal.KeepsConnections ? ValueTask.CompletedTask : _client?.DisposeAsync() ?? ValueTask.CompletedTask;

    private KvClientOptions ClientOptions()
    {
        var options = new KvClientOptions { DefaultTimeout = Timeout };
        foreach (var endpoint in Endpoints)
        {
            options.Endpoints.Add(endpoint.ToString().TrimEnd('/'));
        }

        return options;
    }
}
