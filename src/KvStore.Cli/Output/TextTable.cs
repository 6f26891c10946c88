using Spectre.Console;

namespace KvStore.Cli.Output;

/// <summary>Rows under headers: with lines on a terminal, as plain aligned columns in a pipe.</summary>
internal sealed class TextTable(params string[] headers)
{
    private readonly List<string[]> _rows = [];

    public int Count => _rows.Count;

    public TextTable Add(params string[] cells)
    {
        if (cells.Length != headers.Length)
        {
            throw new ArgumentException($"{cells.Length} cells for {headers.Length} columns.", nameof(cells));
        }

        _rows.Add(cells);
        return this;
    }

    /// <summary>Writes the table for people.</summary>
    public void Write(TextWriter writer, bool interactive)
    {
        if (interactive)
        {
            WriteDrawn(writer);
        }
        else
        {
            WritePlain(writer);
        }
    }

    /// <summary>Writes the rows without headers, cells separated by tabs.</summary>
    public void WriteRaw(TextWriter writer)
    {
        foreach (var row in _rows)
        {
            writer.WriteLine(string.Join('\t', row.Select(cell => cell.Replace('\t', ' '))));
        }
    }

    private void WriteDrawn(TextWriter writer)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(writer) });
        var table = new Table { Border = TableBorder.Rounded };
        foreach (var header in headers)
        {
            table.AddColumn(new TableColumn(new Text(header, new Style(decoration: Decoration.Bold))));
        }

        foreach (var row in _rows)
        {
            table.AddRow(row.Select(cell => new Text(cell)));
        }

        console.Write(table);
    }

    private void WritePlain(TextWriter writer)
    {
        var widths = new int[headers.Length];
        for (var column = 0; column < headers.Length; column++)
        {
            widths[column] = _rows.Select(row => row[column].Length).Append(headers[column].Length).Max();
        }

        WritePlainRow(writer, headers, widths);
        foreach (var row in _rows)
        {
            WritePlainRow(writer, row, widths);
        }
    }

    private static void WritePlainRow(TextWriter writer, string[] cells, int[] widths) =>
        writer.WriteLine(string.Join("  ", cells.Select((cell, column) => cell.PadRight(widths[column]))).TrimEnd());
}
