using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace KvStore.Cli.Running;

/// <summary>The usual help, followed by the command's examples; for the root by the exit codes as well.</summary>
internal sealed class HelpWithExamples(HelpAction usual, IReadOnlyDictionary<Command, string> examples) : SynchronousCommandLineAction
{
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        var code = usual.Invoke(parseResult);
        var output = parseResult.InvocationConfiguration.Output;
        var command = parseResult.CommandResult.Command;
        if (examples.TryGetValue(command, out var text))
        {
            output.WriteLine("Examples:");
            foreach (var line in text.Split('\n'))
            {
                output.WriteLine("  " + line.TrimEnd('\r'));
            }

            output.WriteLine();
        }

        if (command is RootCommand)
        {
            output.WriteLine(ExitCodeTable.Text);
        }

        return code;
    }
}
