using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace KvStore.Cli.Running;

/// <summary>
/// Runs a command line: parses it, carries the command out, and turns whatever happens into an exit code and at most one sentence on stderr. Commands
/// register here with <see cref="Add"/>; no command writes an error or picks a code for an exception by itself.
/// </summary>
internal sealed class CommandHost(Terminal terminal)
{
    private readonly Dictionary<Command, string> _examples = [];

    public Terminal Terminal { get; } = terminal;

    public GlobalOptions Globals { get; } = new();

    /// <summary>Gives a command its action and its examples.</summary>
    /// <param name="command">The command, with its arguments and options.</param>
    /// <param name="examples">Command lines for the help, one a line.</param>
    /// <param name="action">What it does.</param>
    public Command Add(Command command, string examples, Func<CommandContext, Task<ExitCode>> action)
    {
        _examples[command] = examples;
        command.SetAction(async (parsed, stop) =>
        {
            await using var context = new CommandContext(parsed, this, stop);
            return (int)await Guarded(context, action);
        });
        return command;
    }

    public async Task<int> RunAsync(RootCommand root, IReadOnlyList<string> arguments, CancellationToken stop)
    {
        Globals.AddTo(root);
        foreach (var help in root.Options.OfType<HelpOption>())
        {
            help.Action = new HelpWithExamples((HelpAction)help.Action!, _examples);
        }

        // Values may begin with '@': they are never names of response files.
        var parsed = root.Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });
        if (parsed.Action is ParseErrorAction)
        {
            return (int)Report(CliFailure.Usage(Sentence(parsed)));
        }

        // Ctrl-C and termination arrive as the token; commands end by themselves and within their own deadlines.
        var configuration = new InvocationConfiguration
        {
            Output = Terminal.Out,
            Error = Terminal.Error,
            EnableDefaultExceptionHandler = false,
            ProcessTerminationTimeout = null,
        };
        var code = await parsed.InvokeAsync(configuration, stop);
        await Terminal.Out.FlushAsync(CancellationToken.None);
        return code;
    }

    private async Task<ExitCode> Guarded(CommandContext context, Func<CommandContext, Task<ExitCode>> action)
    {
        try
        {
            return await action(context);
        }
        catch (OperationCanceledException) when (context.Stop.IsCancellationRequested)
        {
            return context.HasBegunChange
                ? Report(new CliFailure(ExitCode.Interrupted, "Interrupted before an answer came, so whether it was done is unknown; look at the state before trying again."))
                : ExitCode.Interrupted;
        }
        catch (Exception exception)
        {
            return Report(Failures.Explain(exception), exception);
        }
    }

    private ExitCode Report(CliFailure failure, Exception? cause = null)
    {
        Terminal.Out.Flush();
        Terminal.Error.WriteLine("kv: " + failure.Message);
        if (cause is not null and not CliFailure && Terminal.Environment("KV_DEBUG") is { Length: > 0 })
        {
            Terminal.Error.WriteLine(cause);
        }

        return failure.Code;
    }

    /// <summary>The parse error that tells most, and where to read more.</summary>
    private static string Sentence(ParseResult parsed)
    {
        var path = new List<string>();
        for (var result = parsed.CommandResult; result is not null; result = result.Parent as System.CommandLine.Parsing.CommandResult)
        {
            path.Insert(0, result.Command is RootCommand ? "kv" : result.Command.Name);
        }

        // An unknown word also leaves its place empty; the word is what the user has to look at.
        var telling = parsed.Errors.FirstOrDefault(error => parsed.UnmatchedTokens.Any(token => error.Message.Contains($"'{token}'", StringComparison.Ordinal)));
        return $"{Failures.Sentence((telling ?? parsed.Errors[0]).Message)} See '{string.Join(' ', path)} --help'.";
    }
}
