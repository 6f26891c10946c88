using System.Buffers;
using System.CommandLine;
using System.Globalization;
using System.Text;
using CsvHelper;
using KvStore.Cli.Data;
using KvStore.Cli.Output;
using KvStore.Cli.Running;
using KvStore.Client;
using KvStore.Contracts;

namespace KvStore.Cli.Bulk;

/// <summary><c>kv export</c>: all records of a keyspace into a file, in key order.</summary>
internal static class ExportCommand
{
    private const string Examples =
        """
        kv export -k orders -f orders.jsonl
        kv export -k orders -f orders.jsonl --resume           go on behind the last record of the file
        kv export -k orders --prefix 2026- --format csv > orders.csv
        """;

    public static Command Create(CommandHost host)
    {
        var keyspace = DataOptions.Keyspace();
        var file = new Option<string?>("--file", "-f") { Description = "Where to write to. Default: standard output.", HelpName = "FILE" };
        var format = BulkFormatOption.Create();
        var prefix = new Option<string?>("--prefix") { Description = "Only keys that begin with this.", HelpName = "TEXT" };
        var level = DataOptions.Level();
        var resume = new Option<bool>("--resume") { Description = "Go on behind the last whole record of the file (jsonl)." };
        var command = new Command("export", "Write all records in key order. Not a snapshot: what changes meanwhile may be in it or not.") { keyspace, file, format, prefix, level, resume };
        return host.Add(command, Examples, async context =>
        {
            var space = DataOptions.KeyspaceOf(context, keyspace);
            var name = context.Value(file);
            var kind = BulkFormatOption.Of(context, format, name);
            KvKey? last = null;
            if (context.Value(resume))
            {
                last = kind == BulkFormat.JsonLines && name is not null ? CutBehindLastRecord(name) : throw CliFailure.Usage("--resume needs --file, and jsonl.");
            }

            await using var output = name is null ? context.Terminal.Out : new StreamWriter(name, append: last is not null, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), 1 << 16);
            var options = new KvScanOptions { Level = context.Value(level), PageSize = KvLimits.MaxScanRecords };
            var range = ScanCommand.Range(context.Value(prefix), null);
            var progress = new ProgressLine(context, "exported");
            long done = 0;
            var scratch = new ArrayBufferWriter<byte>(4_096);
            using var csv = kind == BulkFormat.Csv ? Csv(output) : null;
            await foreach (var entry in space.ScanAsync<ReadOnlyMemory<byte>>(last is { } key ? range.Behind(key) : range, options, context.Stop))
            {
                if (csv is null)
                {
                    JsonLines.Write(output, entry.Key.Bytes.Span, entry.Value.Span, scratch);
                }
                else
                {
                    csv.WriteField(Text(entry.Key.Bytes.Span, entry.Key));
                    csv.WriteField(Text(entry.Value.Span, entry.Key));
                    await csv.NextRecordAsync();
                }

                progress.Tell(++done);
            }

            await output.FlushAsync(context.Stop);
            context.Note(progress.Sum(done));
            return ExitCode.Ok;
        });
    }

    private static CsvWriter Csv(TextWriter output)
    {
        var csv = new CsvWriter(output, CultureInfo.InvariantCulture, leaveOpen: true);
        csv.WriteField("key");
        csv.WriteField("value");
        csv.NextRecord();
        return csv;
    }

    private static string Text(ReadOnlySpan<byte> bytes, KvKey key) => ByteText.AsText(bytes)
        ?? throw new CliFailure(ExitCode.Refused, $"The key or value of '{key}' is not text, which CSV can't carry; export as jsonl.");

    /// <summary>The key of the last whole line; a torn one behind it is cut off. Null: there is none, begin anew.</summary>
    private static KvKey? CutBehindLastRecord(string file)
    {
        if (!File.Exists(file))
        {
            return null;
        }

        using var stream = new FileStream(file, FileMode.Open, FileAccess.ReadWrite);
        long end = LastLineBreak(stream, stream.Length);
        stream.SetLength(end + 1);
        if (end < 0)
        {
            return null;
        }

        long begin = LastLineBreak(stream, end) + 1;
        stream.Position = begin;
        byte[] line = new byte[end - begin];
        stream.ReadExactly(line);
        return new KvKey(JsonLines.Parse(Encoding.UTF8.GetString(line), 0).Key);
    }

    /// <summary>Where the last line break before a position is; -1: nowhere.</summary>
    private static long LastLineBreak(FileStream stream, long before)
    {
        byte[] block = new byte[1 << 16];
        for (long from = before; from > 0;)
        {
            int length = (int)Math.Min(block.Length, from);
            from -= length;
            stream.Position = from;
            stream.ReadExactly(block, 0, length);
            int at = block.AsSpan(0, length).LastIndexOf((byte)'\n');
            if (at >= 0)
            {
                return from + at;
            }
        }

        return -1;
    }
}
