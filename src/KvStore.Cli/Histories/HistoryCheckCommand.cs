using System.CommandLine;
using KvStore.Cli.Running;
using KvStore.TestKit.Histories;

namespace KvStore.Cli.Histories;

/// <summary><c>kv history check</c>: the verdict on recorded histories.</summary>
internal static class HistoryCheckCommand
{
    private const string Examples =
        """
        kv history check run.jsonl                  prints: run.jsonl<TAB>linearizable
        kv history check --timeout 2m logs/*.log    exit code 0: all are linearizable; 1: one is not; 5: one is undecided
        """;

    public static Command Create(CommandHost host)
    {
        var files = new Argument<string[]>("FILE")
        {
            Description = "Histories: KvStore's own JSON lines, Jepsen register logs, or EDN maps; the format is recognised.",
            Arity = ArgumentArity.OneOrMore,
        };
        var check = new Command(
            "check",
            "Check recorded histories for linearizability; print FILE<TAB>linearizable|not-linearizable|unknown for each. --timeout bounds each file (default here: 30s).")
        {
            files,
        };
        host.Add(check, Examples, context => Task.FromResult(Run(context, context.Value(files)!)));
        return new Command("history", "Recorded histories of what clients did and saw.") { check };
    }

    private static ExitCode Run(CommandContext context, string[] files)
    {
        var limits = new LinearizabilityOptions();
        if (context.TimeoutWasGiven)
        {
            limits = limits with { TimeLimit = context.Timeout };
        }

        var code = ExitCode.Ok;
        foreach (var file in files)
        {
            code = Worse(code, Check(context, file, limits));
            context.Terminal.Out.Flush();
            context.Stop.ThrowIfCancellationRequested();
        }

        return code;
    }

    private static ExitCode Check(CommandContext context, string file, LinearizabilityOptions limits)
    {
        History history;
        try
        {
            history = HistoryFile.Read(file);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or FormatException or ArgumentException)
        {
            context.Complain(Unreadable(file, exception));
            return ExitCode.NoInput;
        }

        var result = LinearizabilityChecker.Check(history, limits, context.Stop);
        context.Line($"{file}\t{Name(result.Verdict)}");
        if (result.Verdict == LinearizabilityVerdict.Linearizable)
        {
            return ExitCode.Ok;
        }

        context.Complain($"{file}: {result.Explanation}");
        return result.Verdict == LinearizabilityVerdict.NotLinearizable ? ExitCode.Failed : ExitCode.Unknown;
    }

    private static string Unreadable(string file, Exception exception) => exception switch
    {
        FileNotFoundException or DirectoryNotFoundException => $"{file} does not exist; check its name.",
        UnauthorizedAccessException when Directory.Exists(file) => $"{file} is a directory; name the files in it.",
        UnauthorizedAccessException => $"{file} may not be read by this user; check its permissions.",
        FormatException => exception.Message,
        _ => $"{file} can't be read: {exception.Message}",
    };

    private static string Name(LinearizabilityVerdict verdict) => verdict switch
    {
        LinearizabilityVerdict.Linearizable => "linearizable",
        LinearizabilityVerdict.NotLinearizable => "not-linearizable",
        _ => "unknown",
    };

    /// <summary>A file that can't be read outweighs a verdict, "not" outweighs "unknown".</summary>
    private static ExitCode Worse(ExitCode a, ExitCode b) => Weight(a) >= Weight(b) ? a : b;

    private static int Weight(ExitCode code) => code switch
    {
        ExitCode.Ok => 0,
        ExitCode.Unknown => 1,
        ExitCode.Failed => 2,
        _ => 3,
    };
}
