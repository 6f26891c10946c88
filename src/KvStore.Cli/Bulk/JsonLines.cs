using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using KvStore.Cli.Output;
using KvStore.Cli.Running;

namespace KvStore.Cli.Bulk;

/// <summary>Records as one JSON object a line.</summary>
internal static class JsonLines
{
    public static async IAsyncEnumerable<BulkRecord> ReadAsync(TextReader reader, [EnumeratorCancellation] CancellationToken stop)
    {
        long number = 0;
        while (await reader.ReadLineAsync(stop) is { } line)
        {
            if (!string.IsNullOrWhiteSpace(line))
            {
                yield return Parse(line, ++number);
            }
        }
    }

    /// <exception cref="CliFailure">The line is no record.</exception>
    public static BulkRecord Parse(string line, long number)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            return new BulkRecord(number, Bytes(document.RootElement, "key", number), Bytes(document.RootElement, "value", number));
        }
        catch (Exception malformed) when (malformed is JsonException or FormatException or InvalidOperationException)
        {
            throw new CliFailure(ExitCode.NoInput, $"Record {number:N0} is none ({Failures.Sentence(malformed.Message).TrimEnd('.')}); write {{\"key\": \"...\", \"value\": \"...\"}} on each line, or keyBase64 and valueBase64 for bytes.");
        }
    }

    public static void Write(TextWriter output, ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, ArrayBufferWriter<byte> scratch)
    {
        scratch.ResetWrittenCount();
        using (var json = new Utf8JsonWriter(scratch, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            ByteText.WriteJson(json, "key", key);
            ByteText.WriteJson(json, "value", value);
            json.WriteEndObject();
        }

        output.WriteLine(Encoding.UTF8.GetString(scratch.WrittenSpan));
    }

    private static ReadOnlyMemory<byte> Bytes(JsonElement record, string name, long number)
    {
        if (record.TryGetProperty(name + "Base64", out var encoded))
        {
            return encoded.GetBytesFromBase64();
        }

        if (!record.TryGetProperty(name, out var text))
        {
            throw new CliFailure(ExitCode.NoInput, $"Record {number:N0} has no \"{name}\"; write {{\"key\": \"...\", \"value\": \"...\"}} on each line.");
        }

        // A value that is an object, a list or a number is stored as the JSON that it is.
        return Encoding.UTF8.GetBytes(text.ValueKind == JsonValueKind.String ? text.GetString()! : text.GetRawText());
    }
}
