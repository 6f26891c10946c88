using KvStore.Cli.Data;
using KvStore.Cli.Running;

namespace KvStore.Cli.Shell;

/// <summary>Reads lines and runs each as a command line of its own, with what was said before: cluster, timeout, keyspace.</summary>
internal sealed class ShellSession
{
    private const string Help =
        """
        Every command of kv, without 'kv' before it: get hello, put hello world, scan, keyspace list ... '--help' after one explains it.
            use NAME      the keyspace of lines that name none
            exit          ends the shell, as the end of the input does
        """;

    private readonly CommandContext _context;
    private readonly bool _stopsAtFailure;
    private readonly bool _prompts;
    private readonly Terminal _terminal;
    private readonly string[] _globals;
    private string? _keyspace;

    public ShellSession(CommandContext context, SharedConnections connections, string? keyspace, bool keepGoing)
    {
        _context = context;
        _prompts = context.Terminal.IsInteractive;
        _stopsAtFailure = !keepGoing && !_prompts;
        _keyspace = keyspace;
        _globals = [.. context.Endpoints.SelectMany(endpoint => new[] { "--endpoint", endpoint.ToString() })];
        Connections = connections;
        var outer = context.Terminal;
        var savedKeyspace = context.SavedContext?.Keyspace;
        _terminal = new Terminal
        {
            Out = outer.Out,
            Error = outer.Error,
            RawOut = outer.RawOut,

            // The lines that follow are commands, never the value of one.
            In = Stream.Null,
            IsInteractive = outer.IsInteractive,
            Environment = variable => variable == DataOptions.KeyspaceVariable ? _keyspace ?? outer.Environment(variable) ?? savedKeyspace : outer.Environment(variable),
            Connect = connections.Connect,
            KeepsConnections = true,
            Interruptions = outer.Interruptions,
        };
    }

    private SharedConnections Connections { get; }

    public async Task<ExitCode> RunAsync()
    {
        using var input = new StreamReader(_context.Terminal.In);
        var result = ExitCode.Ok;
        for (var number = 1; ; number++)
        {
            Prompt();
            var line = await input.ReadLineAsync(_context.Stop);
            if (line is null or "exit" or "quit")
            {
                return result;
            }

            var code = await RunLineAsync(line);
            await Connections.TrimAsync();
            _context.Stop.ThrowIfCancellationRequested();
            if (code == ExitCode.Ok || _prompts)
            {
                continue;
            }

            result = code;
            if (_stopsAtFailure)
            {
                _context.Complain($"Ended at line {number}; --keep-going goes on.");
                return code;
            }
        }
    }

    private async Task<ExitCode> RunLineAsync(string line)
    {
        IReadOnlyList<string> words;
        try
        {
            words = CommandWords.Split(line);
            switch (words)
            {
                case []:
                    return ExitCode.Ok;
                case ["use", var name]:
                    _keyspace = _context.Keyspace(name).Name;
                    return ExitCode.Ok;
                case ["use", ..]:
                    throw CliFailure.Usage("Write 'use NAME' with the name of one keyspace.");
                case ["help"]:
                    _context.Line(Help);
                    return ExitCode.Ok;
                case ["shell", ..]:
                    throw CliFailure.Usage("This is the shell; 'exit' ends it.");
                default:
                    break;
            }
        }
        catch (CliFailure failure)
        {
            _context.Complain(failure.Message);
            return failure.Code;
        }

        using var running = CancellationTokenSource.CreateLinkedTokenSource(_context.Stop);
        using var taken = _context.Terminal.Interruptions.TakenBy(running.Cancel);
        return (ExitCode)await KvCommandLine.RunAsync([.. words, .. Inherited(words)], _terminal, running.Token);
    }

    /// <summary>What the shell was started with, where the line does not say it itself.</summary>
    private IEnumerable<string> Inherited(IReadOnlyList<string> words)
    {
        bool Says(params string[] names) => words.Any(word => names.Any(name => word == name || word.StartsWith(name + "=", StringComparison.Ordinal)));

        if (!Says("--endpoint", "-e", "--cluster") && words[0] is not ("context" or "up" or "down" or "demo" or "completion" or "history"))
        {
            foreach (var word in _globals)
            {
                yield return word;
            }
        }

        if (_context.TimeoutWasGiven && !Says("--timeout"))
        {
            yield return "--timeout";
            yield return Quantities.Describe(_context.Timeout);
        }
    }

    private void Prompt()
    {
        if (_prompts)
        {
            _context.Terminal.Out.Write(_keyspace is null ? "kv> " : $"kv:{_keyspace}> ");
            _context.Terminal.Out.Flush();
        }
    }
}
