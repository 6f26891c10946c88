using System.Globalization;

namespace KvStore.Benchmarks.Compare;

/// <summary>What is different about the changed cluster, and what is measured.</summary>
internal sealed record DuelOptions
{
    public const string Usage =
        """
        duel [--program KV.DLL] [--env NAME=VALUE]... [--only GROUP,...] [--concurrency N,...] [--rounds N] [--seconds S]
          --program KV.DLL   the changed nodes are of this build: the path of its kv.dll
          --env NAME=VALUE   a variable of the changed nodes' environment; may be repeated
          --only GROUP       cp-put, cp-get, ap-put, memory-put, eventual-get; default: cp-put, ap-put, memory-put
          --concurrency N    operations in flight; default 64,256
          --rounds N         how often each row is measured; default 5
          --seconds S        how long each turn is; default 1
        """;

    private static readonly string[] AllGroups = ["cp-put", "cp-get", "ap-put", "memory-put", "eventual-get"];

    public string? Program { get; private init; }

    public IReadOnlyList<string> Variables { get; private init; } = [];

    public string[] Groups { get; private init; } = ["cp-put", "ap-put", "memory-put"];

    public int[] Concurrency { get; private init; } = [64, 256];

    public int Rounds { get; private init; } = 5;

    public TimeSpan Turn { get; private init; } = TimeSpan.FromSeconds(1);

    public string Describe() => string.Join(", ", (string[])[.. Program is null ? (string[])[] : ["another build"], .. Variables]);

    /// <summary>Null where the arguments make no sense, or nothing is changed.</summary>
    public static DuelOptions? Parse(string[] arguments)
    {
        DuelOptions? options = new();
        for (int at = 0; options is not null && at + 1 < arguments.Length; at += 2)
        {
            options = With(options, arguments[at], arguments[at + 1]);
        }

        return arguments.Length % 2 == 0 && options is not null && options.Describe().Length > 0 ? options : null;
    }

    private static DuelOptions? With(DuelOptions options, string name, string text) => name switch
    {
        "--program" when File.Exists(text) => options with { Program = Path.GetFullPath(text) },
        "--env" when text.IndexOf('=') > 0 => options with { Variables = [.. options.Variables, text] },
        "--only" when text.Split(',') is var groups && groups.All(AllGroups.Contains) => options with { Groups = groups },
        "--concurrency" when Numbers(text) is { } numbers => options with { Concurrency = numbers },
        "--rounds" when int.TryParse(text, CultureInfo.InvariantCulture, out int rounds) && rounds is >= 1 and <= 100 => options with { Rounds = rounds },
        "--seconds" when double.TryParse(text, CultureInfo.InvariantCulture, out double seconds) && seconds is >= 0.1 and <= 600 => options with { Turn = TimeSpan.FromSeconds(seconds) },
        _ => null,
    };

    private static int[]? Numbers(string text)
    {
        int[] numbers = [.. text.Split(',').Select(part => int.TryParse(part, CultureInfo.InvariantCulture, out int number) ? number : 0)];
        return numbers.All(number => number is >= 1 and <= 65_536) ? numbers : null;
    }
}
