using System.Text;

namespace KvStore.TestKit.Histories;

/// <summary>Reads recorded histories of three formats, told apart by their first line, and writes KvStore's own.</summary>
/// <remarks>
/// <para>
/// KvStore's own format is UTF-8 text, one JSON object a line. The first line names format, version and model (<c>key-value</c>, <c>register</c> or
/// <c>appended-text</c>); each further line is an operation:
/// </para>
/// <code>
/// {"format":"kvstore-history","version":1,"model":"key-value"}
/// {"client":"c1","key":"k","kind":"put","input":"v1","outcome":"done","invoke":1,"return":2,"invokeUs":10,"returnUs":950}
/// {"client":"c2","key":"k","kind":"get","values":["v1"],"outcome":"done","invoke":3,"return":4,"invokeUs":980,"returnUs":1400}
/// {"client":"c2","key":"k","kind":"cas","expected":"v1","input":"v2","outcome":"unknown","invoke":5,"invokeUs":1500}
/// </code>
/// <para>
/// <c>kind</c> is get, put, delete, cas or append. <c>input</c> is the text to write, <c>expected</c> what a cas expects (left out: an absent key),
/// <c>context</c> the values that a dotted write had seen (left out: a blind write), <c>values</c> what a read returned (left out: nothing).
/// <c>outcome</c> is done, not-done, unknown or mismatched (a cas whose comparison failed). <c>invoke</c> and <c>return</c> are places in the one order of
/// events; without <c>return</c> the operation never returned. <c>invokeUs</c> and <c>returnUs</c> are microseconds since the start of the recording and may be
/// left out. Empty lines are skipped; unknown fields are errors.
/// </para>
/// <para>
/// The others are Jepsen's text log of a compare-and-set register (lines with <c>jepsen.util</c>), and Jepsen operations as EDN maps, one a line, with
/// <c>:get</c>, <c>:put</c> and <c>:append</c>.
/// </para>
/// </remarks>
public static class HistoryFile
{
    /// <summary>Reads a history of any known format.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="HistoryFormatException">The file is not a history. The message names the line.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public static History Read(string path)
    {
        using var reader = new StreamReader(path, Encoding.UTF8);
        return Read(reader, path);
    }

    /// <summary>Reads a history of any known format.</summary>
    /// <param name="reader">The text.</param>
    /// <param name="name">What to call it in error messages.</param>
    /// <exception cref="HistoryFormatException">The text is not a history. The message names the line.</exception>
    public static History Read(TextReader reader, string name)
    {
        ArgumentNullException.ThrowIfNull(reader);
        var lines = new HistoryLines(reader, name);
        if (!lines.MoveNext())
        {
            throw lines.Problem("The file is empty");
        }

        var first = lines.Text.TrimStart();
        if (first.StartsWith("{:", StringComparison.Ordinal))
        {
            return EdnHistory.Read(lines);
        }

        if (first.StartsWith('{'))
        {
            return JsonHistory.Read(lines);
        }

        return JepsenRegisterLog.Recognises(first)
            ? JepsenRegisterLog.Read(lines)
            : throw lines.Problem("This is none of the known history formats (KvStore's JSON lines, a Jepsen register log, EDN maps)");
    }

    /// <summary>Writes a history in KvStore's own format, replacing the file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="history">The history.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public static void Write(string path, History history)
    {
        using var stream = File.Create(path);
        Write(stream, history);
    }

    /// <summary>Writes a history in KvStore's own format.</summary>
    /// <param name="stream">Where to; it stays open.</param>
    /// <param name="history">The history.</param>
    public static void Write(Stream stream, History history)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(history);
        JsonHistory.Write(stream, history);
    }
}

/// <summary>The lines of a history that are not empty, with their numbers for error messages.</summary>
internal sealed class HistoryLines(TextReader reader, string name)
{
    private int _number;

    public string Text { get; private set; } = "";

    /// <summary>The number of the current line; a place in the order of events for formats that have no other.</summary>
    public int Number => _number;

    public bool MoveNext()
    {
        while (reader.ReadLine() is { } line)
        {
            _number++;
            if (!string.IsNullOrWhiteSpace(line))
            {
                Text = line;
                return true;
            }
        }

        return false;
    }

    public HistoryFormatException Problem(string problem) => new(name, Math.Max(1, _number), problem);
}
