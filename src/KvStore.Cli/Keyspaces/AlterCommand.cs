using System.CommandLine;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Keyspaces;

/// <summary><c>kv keyspace alter</c>: other settings for a keyspace that is in use.</summary>
internal static class AlterCommand
{
    private static readonly TimeSpan DefaultPatience = TimeSpan.FromMinutes(1);

    private const string Examples =
        """
        kv keyspace alter orders --policy ap
        kv keyspace alter orders --policy cp --replication async --max-lag 256KiB,200ms
        kv keyspace alter profile --policy adaptive --provisional-after 5s
        kv keyspace alter orders --policy ap --no-wait && kv keyspace describe orders
        """;

    public static Command Create(CommandHost host)
    {
        var name = new Argument<string>("NAME") { Description = "The keyspace." };
        var settings = new KeyspaceSettings();
        var noWait = new Option<bool>("--no-wait") { Description = "Return when it is decided; the shards follow by themselves." };
        var format = OutputFormatOption.Create();
        var command = new Command("alter", "Give a keyspace that is in use another policy, replication, max-lag or provisional-after. Repeating it changes nothing. Exit code 1: the shards are still on their way when the time is over; 2: there is no keyspace of this name.")
        {
            name, settings.Policy, settings.Replication, settings.MaxLag, settings.ProvisionalAfter, noWait, format,
        };
        return host.Add(command, Examples, async context =>
        {
            try
            {
                return await AlterAsync(context, context.Value(name)!, settings.ReadChange(context), !context.Value(noWait), context.Value(format));
            }
            catch (KvException exception) when (exception.Code == KvCode.UnknownKeyspace)
            {
                throw new CliFailure(ExitCode.NotFound, $"There is no keyspace '{context.Value(name)}'; 'kv keyspace list' shows those that exist.");
            }
        });
    }

    private static async Task<ExitCode> AlterAsync(CommandContext context, string name, KvKeyspaceChange change, bool wait, OutputFormat format)
    {
        var altered = await context.Client.Admin.AlterKeyspaceAsync(name, change, context.StopChanging);
        if (!altered.Changed)
        {
            context.Note("note: it is set so already.");
        }

        var progress = altered.Progress;
        if (wait)
        {
            var said = "";
            progress = await context.Client.Admin.WaitForAlterationAsync(
                name,
                context.TimeoutWasGiven ? context.Timeout : DefaultPatience,
                look =>
                {
                    if (KeyspaceOutput.Summary(look) is var now && now != said && !look.Done)
                    {
                        context.Note(said = now);
                    }
                },
                context.Stop);
        }

        KeyspaceOutput.ShowProgress(context, format, progress);
        foreach (var shard in progress.Shards.Where(shard => shard.Unbound.Count > 0))
        {
            context.Complain(
                $"Shard {shard.Shard}: the replica{(shard.Unbound.Count == 1 ? "" : "s")} on node {string.Join(", ", shard.Unbound)} did not hear of it yet; until then they serve as they were set before, and what they take is merged when they return.");
        }

        if (wait && !progress.Done)
        {
            context.Complain($"The shards are still on their way ({KeyspaceOutput.Summary(progress)}); they go on by themselves, 'kv keyspace alter' again waits for them.");
            return ExitCode.Failed;
        }

        return ExitCode.Ok;
    }
}
