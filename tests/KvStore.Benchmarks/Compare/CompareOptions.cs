using System.Globalization;

namespace KvStore.Benchmarks.Compare;

/// <summary>What is compared, how often and how long.</summary>
internal sealed record CompareOptions
{
    public const string Usage =
        """
        compare [--rounds N] [--seconds S] [--warm-up S] [--only GROUP,...]
          --rounds N    how often each row is measured; default 5
          --seconds S   how long each turn is; default 2
          --warm-up S   how long each side runs before the first round, uncounted: methods are compiled, connections opened, log segments laid out; default 12
          --only GROUP  cp-put, cp-get, ap-put, memory-put, eventual-get, batch, nats, garnet; default: all but the last two
        """;

    public static readonly string[] AllGroups = ["cp-put", "cp-get", "ap-put", "memory-put", "eventual-get", "batch", "nats", "garnet"];

    public int Rounds { get; private init; } = 5;

    public TimeSpan Turn { get; private init; } = TimeSpan.FromSeconds(2);

    public TimeSpan WarmUp { get; private init; } = TimeSpan.FromSeconds(12);

    public string[] Groups { get; private init; } = [.. AllGroups.Except(["nats", "garnet"])];

    /// <summary>Null where the arguments make no sense.</summary>
    public static CompareOptions? Parse(string[] arguments)
    {
        CompareOptions options = new();
        for (int at = 0; at + 1 < arguments.Length; at += 2)
        {
            CompareOptions? next = (arguments[at], arguments[at + 1]) switch
            {
                ("--rounds", var text) when int.TryParse(text, CultureInfo.InvariantCulture, out int rounds) && rounds is >= 1 and <= 100 => options with { Rounds = rounds },
                ("--seconds", var text) when double.TryParse(text, CultureInfo.InvariantCulture, out double seconds) && seconds is >= 0.1 and <= 600 => options with { Turn = TimeSpan.FromSeconds(seconds) },
                ("--warm-up", var text) when double.TryParse(text, CultureInfo.InvariantCulture, out double seconds) && seconds is >= 0 and <= 600 => options with { WarmUp = TimeSpan.FromSeconds(seconds) },
                ("--only", var text) when text.Split(',') is var groups && groups.All(AllGroups.Contains) => options with { Groups = groups },
                _ => null,
            };
            if (next is null)
            {
                return null;
            }

            options = next;
        }

        return arguments.Length % 2 == 0 ? options : null;
    }
}
