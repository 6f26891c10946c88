using System.CommandLine;
using System.Text;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;

namespace KvStore.Cli.Data;

/// <summary><c>kv scan</c>.</summary>
internal static class ScanCommand
{
    private const int DefaultLimit = 100;

    private const string Examples =
        """
        kv scan -k orders
        kv scan -k orders --prefix 2026- --limit 1000
        kv scan -k orders -o raw | cut -f1              keys and values, separated by a tab
        """;

    public static Command Create(CommandHost host)
    {
        var keyspace = DataOptions.Keyspace();
        var prefix = new Option<string?>("--prefix") { Description = "Only keys that begin with this.", HelpName = "TEXT" };
        var after = new Option<string?>("--after") { Description = "Only keys behind this one: where the last scan ended.", HelpName = "KEY" };
        var limit = new Option<int>("--limit")
        {
            Description = "At most this many records, 1 to 1,000,000.",
            HelpName = "N",
            DefaultValueFactory = _ => DefaultLimit,
            CustomParser = result => Quantities.ParseCount(result, 1, 1_000_000),
        };
        var level = DataOptions.Level();
        var maxStaleness = SessionOptions.MaxStaleness();
        var format = OutputFormatOption.Create();
        var command = new Command("scan", "List records in key order.") { keyspace, prefix, after, limit, level, maxStaleness, format };
        return host.Add(command, Examples, async context =>
        {
            var range = Range(context.Value(prefix), context.Value(after));
            var space = DataOptions.KeyspaceOf(context, keyspace);
            var most = context.Value(limit);
            var read = SessionOptions.Read(context, context.Value(level), null, maxStaleness);
            var options = new KvScanOptions { Level = read.Level, MaxStaleness = read.MaxStaleness, PageSize = Math.Min(most + 1, KvLimits.MaxScanRecords) };
            var entries = new List<KvEntry<ReadOnlyMemory<byte>>>();
            await foreach (var entry in space.ScanAsync<ReadOnlyMemory<byte>>(range, options, context.Stop))
            {
                entries.Add(entry);
                if (entries.Count > most)
                {
                    break;
                }
            }

            var more = entries.Count > most;
            Show(context, context.Value(format), more ? entries[..most] : entries);
            if (more)
            {
                context.Note($"note: there are more; go on with --after '{entries[most - 1].Key}', or raise --limit.");
            }

            return ExitCode.Ok;
        });
    }

    public static KvRange Range(string? prefix, string? after)
    {
        if (Encoding.UTF8.GetByteCount(prefix ?? "") > KvLimits.MaxKeyBytes)
        {
            throw CliFailure.Usage($"The prefix is longer than {KvLimits.MaxKeyBytes:N0} bytes, the most that a key can have.");
        }

        var range = prefix is null ? KvRange.All : KvRange.Prefix(prefix);
        return after is null ? range : range.Behind(DataOptions.Key(after));
    }

    private static void Show(CommandContext context, OutputFormat format, List<KvEntry<ReadOnlyMemory<byte>>> entries)
    {
        switch (format)
        {
            case OutputFormat.Json:
                JsonOutput.Write(context.Terminal.Out, json =>
                {
                    json.WriteStartArray();
                    entries.ForEach(entry => ReadOutput.WriteJson(json, entry));
                    json.WriteEndArray();
                });
                break;
            case OutputFormat.Raw:
                entries.ForEach(entry => context.Line($"{entry.Key}\t{Encoding.UTF8.GetString(entry.Value.Span)}"));
                break;
            default:
                var table = new TextTable("key", "value", "values", "version");
                entries.ForEach(entry => table.Add(
                    ByteText.ForPeople(entry.Key.Bytes.Span), ByteText.ForPeople(entry.Value.Span), $"{entry.SiblingCount}", entry.Version.ToString()));
                context.Write(table);
                break;
        }
    }
}
