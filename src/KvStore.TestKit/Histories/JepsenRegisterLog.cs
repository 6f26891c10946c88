using System.Text.RegularExpressions;

namespace KvStore.TestKit.Histories;

/// <summary>The text log of Jepsen's compare-and-set register test: logger, process, type, function and value, separated by tabs or spaces.</summary>
internal static partial class JepsenRegisterLog
{
    private const string Logger = "jepsen.util";
    private const string Key = "register";

    public static bool Recognises(string firstLine) => firstLine.StartsWith("INFO", StringComparison.Ordinal);

    public static History Read(HistoryLines lines)
    {
        var events = new JepsenEvents(lines);
        do
        {
            // Other loggers, and Jepsen's own fault injector, say nothing about the register.
            if (lines.Text.Contains(Logger, StringComparison.Ordinal) && !lines.Text.Contains(":nemesis", StringComparison.Ordinal))
            {
                ReadLine(lines, events);
            }
            else if (!Recognises(lines.Text))
            {
                throw lines.Problem("This is not a line of a log");
            }
        }
        while (lines.MoveNext());
        return events.ToHistory(SequentialModel.Register);
    }

    private static void ReadLine(HistoryLines lines, JepsenEvents events)
    {
        var match = EventPattern().Match(lines.Text);
        if (!match.Success)
        {
            throw lines.Problem("This is not an event of a register (process, :invoke or :ok or :fail or :info, :read or :write or :cas, value)");
        }

        var process = match.Groups["process"].Value;
        var kind = match.Groups["function"].Value switch
        {
            "read" => RecordedKind.Get,
            "write" => RecordedKind.Put,
            _ => RecordedKind.CompareAndSet,
        };
        var value = match.Groups["value"].Value;
        var type = match.Groups["type"].Value;
        if (type == "invoke")
        {
            var (expected, input) = Arguments(lines, kind, value);
            events.Invoke(process, kind, Key, input, expected);
            return;
        }

        var timedOut = value == ":timed-out";
        if (kind == RecordedKind.Get && type == "ok" && value != "nil" && !IsNumber(value))
        {
            throw lines.Problem("A read returns neither a number nor nil");
        }

        events.End(process, kind, type, timedOut, value == "nil" ? [] : [value]);
    }

    private static (string? Expected, string? Input) Arguments(HistoryLines lines, RecordedKind kind, string value)
    {
        switch (kind)
        {
            case RecordedKind.Get:
                return (null, null);
            case RecordedKind.Put when IsNumber(value):
                return (null, value);
            case RecordedKind.CompareAndSet when PairPattern().Match(value) is { Success: true } pair:
                return (pair.Groups[1].Value, pair.Groups[2].Value);
            default:
                throw lines.Problem("The value of a write is not a number, or that of a cas not a pair of numbers");
        }
    }

    private static bool IsNumber(string value) => long.TryParse(value, out _);

    [GeneratedRegex(@"^INFO\s+jepsen\.util\s+-\s+(?<process>\d+)\s+:(?<type>invoke|ok|fail|info)\s+:(?<function>read|write|cas)\s+(?<value>\S.*?)\s*$")]
    private static partial Regex EventPattern();

    [GeneratedRegex(@"^\[(-?\d+)\s+(-?\d+)\]$")]
    private static partial Regex PairPattern();
}
