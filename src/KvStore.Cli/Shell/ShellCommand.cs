using System.CommandLine;
using KvStore.Cli.Running;

namespace KvStore.Cli.Shell;

/// <summary><c>kv shell</c>.</summary>
internal static class ShellCommand
{
    private const string Examples =
        """
        kv shell -k orders
        kv shell < commands.txt                     ends with the first line that fails, with its exit code
        kv shell --keep-going < commands.txt
        rlwrap kv shell                             with the arrow keys and a history
        """;

    public static Command Create(CommandHost host)
    {
        var keyspace = new Option<string?>("--keyspace", "-k") { Description = "The keyspace of lines that name none; 'use NAME' changes it.", HelpName = "NAME" };
        var keepGoing = new Option<bool>("--keep-going") { Description = "Not from a terminal: go on after a line that fails; the exit code is that of the last one that did." };
        var command = new Command("shell", "Commands line by line, without 'kv' before them, over one connection.") { keyspace, keepGoing };
        return host.Add(command, Examples, async context =>
        {
            if (context.Value(keyspace) is { } name)
            {
                context.Keyspace(name);
            }

            await using var connections = new SharedConnections(context.Terminal.Connect);
            return await new ShellSession(context, connections, context.Value(keyspace), context.Value(keepGoing)).RunAsync();
        });
    }
}
