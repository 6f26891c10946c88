using System.CommandLine;

namespace KvStore.Cli.Output;

/// <summary>How a reading command shows what it read.</summary>
internal enum OutputFormat
{
    /// <summary>For people: tables on a terminal, aligned columns in a pipe.</summary>
    Table,

    /// <summary>One JSON document with everything that is known.</summary>
    Json,

    /// <summary>Only the data, nothing added: value bytes as they are, or fields separated by tabs.</summary>
    Raw,
}

internal static class OutputFormatOption
{
    public static Option<OutputFormat> Create() => new("--output", "-o")
    {
        Description = "table (default): for people; json: everything that is known; raw: the bare data.",
        HelpName = "table|json|raw",
        CustomParser = result =>
        {
            var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
            switch (text)
            {
                case "table":
                    return OutputFormat.Table;
                case "json":
                    return OutputFormat.Json;
                case "raw":
                    return OutputFormat.Raw;
                default:
                    result.AddError($"'{text}' is not an output format; use table, json or raw.");
                    return OutputFormat.Table;
            }
        },
    };
}
