using System.CommandLine;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Keyspaces;

/// <summary><c>kv keyspace create|list|describe|alter|delete|lost-writes</c>.</summary>
internal static class KeyspaceCommands
{
    private const string CreateExamples =
        """
        kv keyspace create orders --policy cp --replication sync
        kv keyspace create carts  --policy ap --replication async
        kv keyspace create clicks --policy cp --replication async --max-lag 256KiB,200ms
        kv keyspace create profile --policy ap --replication sync --conflicts last-writer-wins
        kv keyspace create cache  --policy ap --replication best-effort --durability memory --memory 256MB
        kv keyspace create hits   --policy ap --replication best-effort --shards 16
        """;

    private const string ListExamples =
        """
        kv keyspace list
        kv keyspace list -o raw | cut -f1
        """;

    private const string DescribeExamples =
        """
        kv keyspace describe orders
        kv keyspace describe orders -o json
        """;

    public static Command Create(CommandHost host) => new("keyspace", "Create and look at keyspaces: each has its own policy and replication.")
    {
        CreateOne(host),
        List(host),
        Describe(host),
        AlterCommand.Create(host),
        DeleteKeyspaceCommand.Create(host),
        LostWritesCommand.Create(host),
    };

    private static Command CreateOne(CommandHost host)
    {
        var name = new Argument<string>("NAME") { Description = "1 to 64 of a-z, 0-9, '-', '_', '.'; begins with a letter." };
        var settings = new KeyspaceSettings();
        var format = OutputFormatOption.Create();
        var command = new Command("create", "Create a keyspace. Repeating it with the same settings changes nothing.") { name, format };
        settings.AddTo(command);
        return host.Add(command, CreateExamples, async context =>
        {
            var wanted = settings.Read(context, context.Value(name)!);
            var keyspace = await KeyspaceCreation.RunAsync(context, wanted);
            KeyspaceOutput.ShowOne(context, context.Value(format), keyspace);
            return ExitCode.Ok;
        });
    }

    private static Command List(CommandHost host)
    {
        var format = OutputFormatOption.Create();
        var command = new Command("list", "List all keyspaces.") { format };
        return host.Add(command, ListExamples, async context =>
        {
            var keyspaces = await context.Client.Admin.ListKeyspacesAsync(context.Stop);
            KeyspaceOutput.Show(context, context.Value(format), keyspaces);
            return ExitCode.Ok;
        });
    }

    private static Command Describe(CommandHost host)
    {
        var name = new Argument<string>("NAME") { Description = "The keyspace." };
        var format = OutputFormatOption.Create();
        var command = new Command("describe", "Show a keyspace's settings, shards and replicas. Exit code 2: there is none of this name.") { name, format };
        return host.Add(command, DescribeExamples, async context =>
        {
            try
            {
                await DescribeAsync(context, context.Value(name)!, context.Value(format));
                return ExitCode.Ok;
            }
            catch (KvException exception) when (exception.Code == KvCode.UnknownKeyspace)
            {
                throw new CliFailure(ExitCode.NotFound, $"There is no keyspace '{context.Value(name)}'; 'kv keyspace list' shows those that exist.");
            }
        });
    }

    private static async Task DescribeAsync(CommandContext context, string name, OutputFormat format)
    {
        var admin = context.Client.Admin;
        var keyspace = (await admin.DescribeKeyspaceAsync(name, 0, context.Stop)).Keyspace;
        var replicas = new List<KeyspaceReplica>();
        foreach (var node in keyspace.Shards.SelectMany(shard => shard.Replicas).Select(replica => replica.Node).Distinct().Order())
        {
            try
            {
                var description = await admin.DescribeKeyspaceAsync(name, node, context.Stop);
                replicas.AddRange(description.Replicas.Select(replica => new KeyspaceReplica(node, replica)));
            }
            catch (KvException exception) when (exception.Code != KvCode.UnknownKeyspace)
            {
                context.Complain($"Node {node} did not answer, its replicas are left out: {Failures.Sentence(exception.Message)}");
            }
        }

        KeyspaceOutput.ShowDescription(context, format, keyspace, replicas);
    }
}
