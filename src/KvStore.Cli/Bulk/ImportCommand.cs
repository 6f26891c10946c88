using System.CommandLine;
using System.Text;
using KvStore.Cli.Data;
using KvStore.Cli.Running;
using KvStore.Client;

namespace KvStore.Cli.Bulk;

/// <summary><c>kv import</c>: many records from a file.</summary>
internal static class ImportCommand
{
    private const string Examples =
        """
        kv import orders.jsonl -k orders                       {"key": "...", "value": "..."} on each line
        kv import cities.csv -k cities --key-column id         each row as a JSON object under its id
        kv import cities.csv -k cities --key-column id --value-column name
        kv import orders.jsonl -k orders --resume              go on where a broken import ended
        kv export -k a | kv import - -k b
        """;

    public static Command Create(CommandHost host)
    {
        var file = new Argument<string>("FILE") { Description = "The file; '-' reads standard input." };
        var keyspace = DataOptions.Keyspace();
        var format = BulkFormatOption.Create();
        var keyColumn = new Option<string>("--key-column") { Description = "CSV: the column with the key.", HelpName = "NAME", DefaultValueFactory = _ => "key" };
        var valueColumn = new Option<string?>("--value-column") { Description = "CSV: the column with the value. Default: 'value' if there is one, else the whole row as JSON.", HelpName = "NAME" };
        var concurrency = new Option<int>("--concurrency")
        {
            Description = "How many puts may be under way, 1 to 4096.",
            HelpName = "N",
            DefaultValueFactory = _ => 512,
            CustomParser = result => Quantities.ParseCount(result, 1, 4_096),
        };
        var resume = new Option<bool>("--resume") { Description = "Leave out what an earlier import of this file has done; FILE.kv-import says how much." };
        var command = new Command("import", "Put the records of a file, one by one; repeating it does no harm.") { file, keyspace, format, keyColumn, valueColumn, concurrency, resume };
        return host.Add(command, Examples, async context =>
        {
            var name = context.Value(file)!;
            var space = DataOptions.KeyspaceOf(context, keyspace);
            if (name == "-" && context.Value(resume))
            {
                throw CliFailure.Usage("Standard input can't be resumed; name a file.");
            }

            using var reader = Open(context, name);
            var records = BulkFormatOption.Of(context, format, name) == BulkFormat.Csv
                ? CsvRecords.ReadAsync(reader, context.Value(keyColumn)!, context.Value(valueColumn), context.Stop)
                : JsonLines.ReadAsync(reader, context.Stop);
            return await RunAsync(context, space, records, name == "-" ? null : new ImportMark(ImportMark.PathOf(name)), context.Value(resume), context.Value(concurrency));
        });
    }

    private static StreamReader Open(CommandContext context, string file)
    {
        try
        {
            return new StreamReader(file == "-" ? context.Terminal.In : File.OpenRead(file), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new CliFailure(ExitCode.NoInput, $"{file} does not exist; check its name.");
        }
        catch (UnauthorizedAccessException)
        {
            throw new CliFailure(ExitCode.NoInput, $"{file} is a directory or may not be read by this user; name a readable file.");
        }
    }

    private static async Task<ExitCode> RunAsync(CommandContext context, IKvKeyspace space, IAsyncEnumerable<BulkRecord> records, ImportMark? mark, bool resume, int concurrency)
    {
        if (resume)
        {
            mark!.Load();
        }

        var skip = mark?.Done ?? 0;
        var progress = new ProgressLine(context, "imported");
        long done = 0;
        try
        {
            await Parallel.ForEachAsync(records, new ParallelOptions { MaxDegreeOfParallelism = concurrency, CancellationToken = context.Stop }, async (record, stop) =>
            {
                if (record.Number > skip)
                {
                    if (record.Complaint is { } complaint)
                    {
                        throw new CliFailure(ExitCode.NoInput, $"Record {record.Number:N0} can't be stored: {complaint}. Correct it and go on with --resume.");
                    }

                    await space.PutAsync(new KvKey(record.Key), record.Value, cancellationToken: stop);
                    progress.Tell(Interlocked.Increment(ref done));
                }

                mark?.Add(record.Number);
            });
        }
        catch
        {
            // Puts may be repeated, so what is not surely done is done again.
            mark?.Save();
            context.Note($"{progress.Sum(done)}; it ended early.{(mark is null ? "" : " Go on with --resume.")}");
            throw;
        }

        mark?.Remove();
        context.Line(progress.Sum(done) + (skip > 0 ? $"; {skip:N0} were there already" : ""));
        return ExitCode.Ok;
    }
}
