using System.CommandLine.Parsing;
using System.Globalization;

namespace KvStore.Cli.Running;

/// <summary>Reads times and numbers from the command line, and says what is wrong with them.</summary>
internal static class Quantities
{
    /// <summary>Reads a time such as 500ms, 10s, 2m or 1h; adds an error to the result if it is none or out of bounds.</summary>
    public static TimeSpan ParseTime(ArgumentResult result, TimeSpan least, TimeSpan most)
    {
        var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        if (!TryParseTime(text, out var time))
        {
            result.AddError($"'{text}' is not a time; write it like 500ms, 10s or 2m.");
            return default;
        }

        if (time < least || time > most)
        {
            result.AddError($"The time {text} is out of bounds; give {Describe(least)} to {Describe(most)}.");
            return default;
        }

        return time;
    }

    /// <summary>Reads a whole number; adds an error to the result if it is none or out of bounds.</summary>
    public static int ParseCount(ArgumentResult result, int least, int most)
    {
        var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number < least || number > most)
        {
            result.AddError($"'{text}' is not a whole number from {least} to {most}.");
            return least;
        }

        return number;
    }

    /// <summary>Reads a size in bytes; adds an error to the result if it is none or out of bounds.</summary>
    public static long ParseSize(ArgumentResult result, long least, long most)
    {
        var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        if (TryParseSize(text, out var bytes) && bytes >= least && bytes <= most)
        {
            return bytes;
        }

        result.AddError($"'{text}' is not a size from {least} to {most} bytes; write bytes, or 64MB, 64MiB, 1GiB.");
        return 0;
    }

    /// <summary>Bytes, with or without a unit: KB, MB, GB (powers of 1,000) or KiB, MiB, GiB (of 1,024).</summary>
    public static bool TryParseSize(string text, out long bytes)
    {
        (string Unit, long Factor)[] units = [("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
        var factor = 1L;
        foreach (var unit in units)
        {
            if (text.EndsWith(unit.Unit, StringComparison.OrdinalIgnoreCase))
            {
                (text, factor) = (text[..^unit.Unit.Length], unit.Factor);
                break;
            }
        }

        bytes = 0;
        if (!long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number > long.MaxValue / factor)
        {
            return false;
        }

        bytes = number * factor;
        return true;
    }

    /// <summary>Reads bytes, a time or both, such as 1MiB,500ms; what is not given stays zero.</summary>
    public static (int Bytes, TimeSpan Time) ParseLag(ArgumentResult result)
    {
        var text = result.Tokens.Count == 1 ? result.Tokens[0].Value : "";
        (int Bytes, TimeSpan Time) lag = default;
        foreach (var part in text.Split(','))
        {
            if (lag.Bytes == 0 && TryParseBytes(part, out var bytes) && bytes > 0)
            {
                lag.Bytes = bytes;
            }
            else if (lag.Time == TimeSpan.Zero && !int.TryParse(part, CultureInfo.InvariantCulture, out _) && TryParseTime(part, out var time) && time >= TimeSpan.FromMilliseconds(1))
            {
                lag.Time = time;
            }
            else
            {
                result.AddError($"'{text}' is not a max-lag; write bytes, a time or both, like 1MiB,500ms.");
                return default;
            }
        }

        return lag;
    }

    /// <summary>Reads 100B, 64KiB or 1MiB.</summary>
    public static bool TryParseBytes(string text, out int bytes)
    {
        bytes = 0;
        foreach (var (unit, factor) in (ReadOnlySpan<(string, int)>)[("KiB", 1_024), ("MiB", 1_048_576), ("B", 1)])
        {
            if (text.EndsWith(unit, StringComparison.Ordinal))
            {
                return int.TryParse(text[..^unit.Length], NumberStyles.None, CultureInfo.InvariantCulture, out var amount)
                    && amount <= int.MaxValue / factor && (bytes = amount * factor) >= 0;
            }
        }

        return false;
    }

    public static bool TryParseTime(string text, out TimeSpan time)
    {
        time = default;
        var digits = 0;
        while (digits < text.Length && (char.IsAsciiDigit(text[digits]) || text[digits] == '.'))
        {
            digits++;
        }

        var unit = text[digits..] switch
        {
            "ms" => 1.0,
            "s" or "" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => 0.0,
        };
        if (unit == 0.0 || !double.TryParse(text[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var amount)
            || amount * unit > TimeSpan.FromDays(100_000).TotalMilliseconds)
        {
            return false;
        }

        time = TimeSpan.FromMilliseconds(amount * unit);
        return true;
    }

    public static string Describe(TimeSpan time) => time switch
    {
        { TotalMilliseconds: < 1_000 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMilliseconds:0.###}ms"),
        { TotalSeconds: < 60 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.###}s"),
        { TotalMinutes: < 60 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMinutes:0.###}m"),
        { TotalHours: < 48 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalHours:0.###}h"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{time.TotalDays:0.###}d"),
    };
}
