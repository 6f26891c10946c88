using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using CsvHelper;
using CsvHelper.Configuration;
using KvStore.Cli.Running;

namespace KvStore.Cli.Bulk;

/// <summary>Records as CSV with a header.</summary>
internal static class CsvRecords
{
    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <param name="keyColumn">The column that holds the key.</param>
    /// <param name="valueColumn">The column that holds the value; null: "value" where there is one, else the whole row as a JSON object.</param>
    public static async IAsyncEnumerable<BulkRecord> ReadAsync(TextReader reader, string keyColumn, string? valueColumn, [EnumeratorCancellation] CancellationToken stop)
    {
        using var csv = new CsvReader(reader, new CsvConfiguration(CultureInfo.InvariantCulture) { BadDataFound = bad => throw Malformed(bad.Context.Parser?.Row ?? 0) });
        if (!await csv.ReadAsync() || !csv.ReadHeader())
        {
            yield break;
        }

        string[] header = csv.HeaderRecord!;
        int key = Array.IndexOf(header, keyColumn);
        if (key < 0 || (valueColumn is not null && !header.Contains(valueColumn)))
        {
            throw CliFailure.Usage($"The file has no column '{(key < 0 ? keyColumn : valueColumn)}'; it has {string.Join(", ", header)}. Name them with --key-column and --value-column.");
        }

        int value = Array.IndexOf(header, valueColumn ?? "value");
        for (long number = 1; await csv.ReadAsync(); number++)
        {
            stop.ThrowIfCancellationRequested();
            if (csv.Parser.Count != header.Length)
            {
                throw new CliFailure(ExitCode.NoInput, $"Record {number:N0} has {csv.Parser.Count} fields and the header {header.Length}; quote fields that hold commas or line breaks.");
            }

            yield return new BulkRecord(number, Encoding.UTF8.GetBytes(csv.GetField(key) ?? ""), value < 0 ? Row(csv, header) : Encoding.UTF8.GetBytes(csv.GetField(value) ?? ""));
        }
    }

    private static byte[] Row(CsvReader csv, string[] header)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream, Readable))
        {
            json.WriteStartObject();
            for (int i = 0; i < header.Length; i++)
            {
                json.WriteString(header[i], csv.GetField(i));
            }

            json.WriteEndObject();
        }

        return stream.ToArray();
    }

    private static CliFailure Malformed(int row) => new(ExitCode.NoInput, $"Row {row:N0} is no CSV; quote fields that hold quotes, commas or line breaks, and double the quotes in them.");
}
