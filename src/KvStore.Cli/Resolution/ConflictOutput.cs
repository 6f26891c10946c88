using KvStore.Cli.Data;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Resolution;

/// <summary>Shows keys with several values, and those values.</summary>
internal static class ConflictOutput
{
    public static void ShowList(CommandContext context, OutputFormat format, List<KvConflict> conflicts)
    {
        switch (format)
        {
            case OutputFormat.Json:
                JsonOutput.Write(context.Terminal.Out, json =>
                {
                    json.WriteStartArray();
                    foreach (var conflict in conflicts)
                    {
                        json.WriteStartObject();
                        ByteText.WriteJson(json, "key", conflict.Key.Bytes.Span);
                        json.WriteNumber("siblingCount", conflict.SiblingCount);
                        json.WriteEndObject();
                    }

                    json.WriteEndArray();
                });
                break;
            case OutputFormat.Raw:
                conflicts.ForEach(conflict => context.Line($"{conflict.Key}\t{conflict.SiblingCount}"));
                break;
            default:
                var table = new TextTable("key", "values");
                conflicts.ForEach(conflict => table.Add(ByteText.ForPeople(conflict.Key.Bytes.Span), $"{conflict.SiblingCount}"));
                context.Write(table);
                break;
        }
    }

    public static void ShowOne(CommandContext context, OutputFormat format, KvEntry<ReadOnlyMemory<byte>> entry)
    {
        if (format == OutputFormat.Json)
        {
            JsonOutput.Write(context.Terminal.Out, json => ReadOutput.WriteJson(json, entry));
            return;
        }

        var table = new TextTable("#", "value", "written", "writer");
        for (var i = 0; i < entry.Siblings.Count; i++)
        {
            var sibling = entry.Siblings[i];
            table.Add($"{i + 1}", ByteText.ForPeople(sibling.Value.Span), $"{sibling.Timestamp:yyyy-MM-dd'T'HH:mm:ss.fff'Z'}", sibling.Writer);
        }

        if (format == OutputFormat.Raw)
        {
            table.WriteRaw(context.Terminal.Out);
            return;
        }

        if (entry.Siblings.Count == 0)
        {
            context.Line($"1 value: {ByteText.ForPeople(entry.Value.Span)}");
        }
        else
        {
            context.Write(table);
        }

        context.Line($"version {entry.Version}");
        if (entry.HiddenLosers > 0)
        {
            context.Note($"note: {entry.HiddenLosers} concurrent value{(entry.HiddenLosers == 1 ? "" : "s")} lost against this one (last-writer-wins) and will be dropped.");
        }
    }
}
