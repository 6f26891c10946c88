using System.CommandLine;
using KvStore.Cli.Running;

namespace KvStore.Cli.Bulk;

/// <summary><c>--format</c> of import and export; without it the file's ending decides.</summary>
internal static class BulkFormatOption
{
    public static Option<string?> Create()
    {
        var option = new Option<string?>("--format") { Description = "jsonl: one JSON object a line; csv: with a header. Default: csv for files that end in .csv, else jsonl." };
        option.AcceptOnlyFromAmong("jsonl", "csv");
        return option;
    }

    public static BulkFormat Of(CommandContext context, Option<string?> option, string? file) => (context.Value(option), file) switch
    {
        ("csv", _) => BulkFormat.Csv,
        ("jsonl", _) => BulkFormat.JsonLines,
        (_, { } name) when name.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) => BulkFormat.Csv,
        _ => BulkFormat.JsonLines,
    };
}
