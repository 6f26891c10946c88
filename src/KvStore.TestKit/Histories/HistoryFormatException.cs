namespace KvStore.TestKit.Histories;

/// <summary>A history file that cannot be read. The message is one sentence that names the file and the line.</summary>
public sealed class HistoryFormatException : FormatException
{
    /// <summary>Something is wrong in a line of a file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="line">The line's number, from 1.</param>
    /// <param name="problem">What is wrong, without a full stop.</param>
    public HistoryFormatException(string file, int line, string problem)
        : base($"{file}, line {line}: {problem}.")
    {
        File = file;
        Line = line;
    }

    /// <summary>The file.</summary>
    public string File { get; }

    /// <summary>The line's number, from 1.</summary>
    public int Line { get; }
}
