using System.CommandLine;
using System.Text;
using Google.Protobuf;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Keyspaces;

/// <summary><c>kv keyspace delete</c>: a keyspace and all its data go, once that was confirmed.</summary>
internal static class DeleteKeyspaceCommand
{
    private const string Examples =
        """
        kv keyspace delete orders              asks for the name once more
        kv keyspace delete orders --yes        for scripts
        """;

    public static Command Create(CommandHost host)
    {
        var name = new Argument<string>("NAME") { Description = "The keyspace." };
        var yes = new Option<bool>("--yes") { Description = "Don't ask." };
        var format = OutputFormatOption.Create();
        var command = new Command("delete", "Delete a keyspace with all its data, for good. Exit code 2: there is no keyspace of this name; 64: it was not confirmed.") { name, yes, format };
        return host.Add(command, Examples, async context =>
        {
            try
            {
                return await DeleteAsync(context, context.Value(name)!, context.Value(yes), context.Value(format));
            }
            catch (KvException exception) when (exception.Code == KvCode.UnknownKeyspace)
            {
                throw new CliFailure(ExitCode.NotFound, $"There is no keyspace '{context.Value(name)}'; 'kv keyspace list' shows those that exist.");
            }
        });
    }

    private static async Task<ExitCode> DeleteAsync(CommandContext context, string name, bool yes, OutputFormat format)
    {
        var keyspace = (await context.Client.Admin.DescribeKeyspaceAsync(name, 0, context.Stop)).Keyspace;
        if (!yes)
        {
            await ConfirmAsync(context, keyspace);
        }

        // By its id: what somebody creates under the name meanwhile is not what was confirmed.
        var answer = await context.Client.Admin.DeleteKeyspaceAsync(name, keyspace.Id, context.StopChanging);
        if (format == OutputFormat.Json)
        {
            context.Line(JsonFormatter.Default.Format(answer));
            return ExitCode.Ok;
        }

        var table = new TextTable("name", "id", "outcome");
        table.Add(name, $"{answer.Id}", answer.Deleted ? "deleted" : "was deleted already");
        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
        }
        else
        {
            context.Write(table);
        }

        return ExitCode.Ok;
    }

    private static async Task ConfirmAsync(CommandContext context, Keyspace keyspace)
    {
        if (context.Terminal.KeepsConnections)
        {
            throw CliFailure.Usage($"'{keyspace.Name}' would be deleted with all its data; add --yes.");
        }

        context.Note($"'{keyspace.Name}' ({keyspace.Shards.Count} shards, id {keyspace.Id}) will be deleted with all its data, for good. Type its name to go on:");
        using var input = new StreamReader(context.Terminal.In, Encoding.UTF8, leaveOpen: true);
        if ((await input.ReadLineAsync(context.Stop))?.Trim() != keyspace.Name)
        {
            throw CliFailure.Usage($"It was not confirmed, nothing was deleted; type '{keyspace.Name}', or say --yes.");
        }
    }
}
