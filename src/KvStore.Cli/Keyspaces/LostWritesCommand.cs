using System.CommandLine;
using System.Globalization;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Keyspaces;

/// <summary><c>kv keyspace lost-writes</c>: what failovers took from an async or best-effort cp keyspace.</summary>
internal static class LostWritesCommand
{
    private const string Examples =
        """
        kv keyspace lost-writes clicks
        kv keyspace lost-writes clicks -o json --clear > lost.json
        """;

    public static Command Create(CommandHost host)
    {
        var name = new Argument<string>("NAME") { Description = "The keyspace." };
        var clear = new Option<bool>("--clear") { Description = "Forget what is shown. The nodes log it." };
        var format = OutputFormatOption.Create();
        var command = new Command("lost-writes", "Show the writes that were acknowledged before their commit and lost in a failover. Exit code 2: there is no keyspace of this name.") { name, clear, format };
        return host.Add(command, Examples, async context =>
        {
            try
            {
                await ShowAsync(context, context.Value(name)!, context.Value(format), context.Value(clear));
                return ExitCode.Ok;
            }
            catch (KvException exception) when (exception.Code == KvCode.UnknownKeyspace)
            {
                throw new CliFailure(ExitCode.NotFound, $"There is no keyspace '{context.Value(name)}'; 'kv keyspace list' shows those that exist.");
            }
        });
    }

    private static async Task ShowAsync(CommandContext context, string name, OutputFormat format, bool clear)
    {
        var lost = await context.Client.Admin.LostWritesAsync(name, cancellationToken: context.Stop);
        Write(context, format, lost);
        if (lost.Unreached.Count > 0)
        {
            context.Complain($"Not all nodes answered, what they hold is missing: {string.Join(", ", lost.Unreached)}.");
        }

        if (lost.More)
        {
            context.Note("note: there are more than fit into one answer; --clear these and ask again.");
        }

        if (lost.Dropped > 0)
        {
            context.Note($"note: {lost.Dropped} older ones were dropped because a journal was full.");
        }

        if (clear && lost.Writes.Count > 0)
        {
            var cleared = (await context.Client.Admin.LostWritesAsync(name, lost.Writes, context.StopChanging)).Cleared;
            context.Note($"note: {cleared} records were cleared.");
        }
    }

    private static void Write(CommandContext context, OutputFormat format, LostWritesResponse lost)
    {
        if (format == OutputFormat.Json)
        {
            JsonOutput.Write(context.Terminal.Out, json =>
            {
                json.WriteStartArray();
                foreach (var write in lost.Writes)
                {
                    json.WriteStartObject();
                    ByteText.WriteJson(json, "key", write.Key.Span);
                    ByteText.WriteJson(json, "value", write.Value.Span);
                    json.WriteBoolean("delete", write.IsDelete);
                    json.WriteNumber("shard", write.Shard);
                    json.WriteNumber("node", write.Node);
                    json.WriteNumber("term", write.Term);
                    json.WriteNumber("index", write.Index);
                    json.WriteString("written", Time(write.TimestampMs));
                    json.WriteString("acknowledged", Time(write.AcknowledgedMs));
                    json.WriteString("lost", Time(write.LostMs));
                    json.WriteString("doubt", Doubt(write));
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
            return;
        }

        var table = new TextTable("key", "value", "shard", "node", "term", "index", "acknowledged", "lost", "doubt");
        foreach (var write in lost.Writes)
        {
            table.Add(
                ByteText.ForPeople(write.Key.Span),
                write.IsDelete ? "(delete)" : ByteText.ForPeople(write.Value.Span),
                $"{write.Shard}",
                $"{write.Node}",
                $"{write.Term}",
                $"{write.Index}",
                Time(write.AcknowledgedMs),
                Time(write.LostMs),
                Doubt(write));
        }

        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
        }
        else
        {
            context.Write(table);
        }
    }

    private static string Time(ulong unixMs) =>
        unixMs == 0 ? "" : DateTimeOffset.FromUnixTimeMilliseconds((long)unixMs).ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);

    private static string Doubt(LostWrite write) => (write.AcknowledgementInDoubt, write.LossInDoubt) switch
    {
        (true, true) => "perhaps not acknowledged, perhaps not lost",
        (true, false) => "perhaps not acknowledged",
        (false, true) => "perhaps not lost",
        _ => "",
    };
}
