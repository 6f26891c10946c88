using System.Text.Json;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Data;

/// <summary>Shows what was read.</summary>
internal static class ReadOutput
{
    public static async Task ShowAsync(CommandContext context, OutputFormat format, KvEntry<ReadOnlyMemory<byte>> entry)
    {
        switch (format)
        {
            case OutputFormat.Json:
                JsonOutput.Write(context.Terminal.Out, json => WriteJson(json, entry));
                return;
            case OutputFormat.Raw:
                await WriteRawAsync(context.Terminal, entry.Value, context.Stop);
                return;
            default:
                await WriteRawAsync(context.Terminal, entry.Value, context.Stop);
                context.Line("");
                break;
        }

        if (entry.SiblingCount > 1)
        {
            context.Note(
                $"note: the key has {entry.SiblingCount} concurrent values and this is the newest; -o json shows all, 'kv conflict resolve' settles it.");
        }

        if (entry.HiddenLosers > 0)
        {
            context.Note($"note: {entry.HiddenLosers} concurrent value{(entry.HiddenLosers == 1 ? "" : "s")} lost against this one.");
        }

        if (entry.Provisional)
        {
            context.Note("note: provisional, from a side without a majority; other writes may be merged later.");
        }

        if (entry.Degraded)
        {
            context.Note("note: fewer replicas than wanted could be asked.");
        }
    }

    public static void WriteJson(Utf8JsonWriter json, KvEntry<ReadOnlyMemory<byte>> entry)
    {
        json.WriteStartObject();
        ByteText.WriteJson(json, "key", entry.Key.Bytes.Span);
        ByteText.WriteJson(json, "value", entry.Value.Span);
        json.WriteString("version", entry.Version.ToString());
        json.WriteNumber("siblingCount", entry.SiblingCount);
        json.WriteStartArray("siblings");
        foreach (var sibling in entry.Siblings)
        {
            json.WriteStartObject();
            ByteText.WriteJson(json, "value", sibling.Value.Span);
            json.WriteString("timestamp", sibling.Timestamp);
            json.WriteString("writer", sibling.Writer);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNumber("hiddenLosers", entry.HiddenLosers);
        json.WriteString("regime", Name(entry.Regime));
        json.WriteNumber("stalenessMs", entry.Staleness.TotalMilliseconds);
        json.WriteNumber("epoch", entry.Epoch);
        json.WriteNumber("acknowledgements", entry.Acknowledgements);
        json.WriteBoolean("degraded", entry.Degraded);
        if (entry.ExpiresIn is { } expiresIn)
        {
            json.WriteNumber("expiresInMs", (long)expiresIn.TotalMilliseconds);
        }

        json.WriteNumber("node", entry.Node);
        json.WriteEndObject();
    }

    public static string Name(KvRegime regime) => regime switch
    {
        KvRegime.Ordered => "ordered",
        KvRegime.Open => "open",
        KvRegime.Provisional => "provisional",
        _ => "",
    };

    private static async Task WriteRawAsync(Terminal terminal, ReadOnlyMemory<byte> value, CancellationToken stop)
    {
        await terminal.Out.FlushAsync(stop);
        await terminal.RawOut.WriteAsync(value, stop);
        await terminal.RawOut.FlushAsync(stop);
    }
}
