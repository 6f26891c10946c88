using System.Text.RegularExpressions;

namespace KvStore.Cluster.Tests.Docs;

/// <summary>A command that the README shows.</summary>
/// <param name="Text">As it stands there, without the comment.</param>
/// <param name="Comment">What stands behind the '#'; empty: nothing.</param>
internal sealed record ReadmeCommand(string Text, string Comment)
{
    /// <summary>The comment says that it fails.</summary>
    public bool IsRefused => Comment.StartsWith("refused", StringComparison.Ordinal);
}

/// <summary>Finds the commands of a page.</summary>
internal static partial class ReadmeCommands
{
    /// <summary>Every line of every block of code, indented or fenced, that is no C#.</summary>
    public static IReadOnlyList<ReadmeCommand> BlocksOf(string page)
    {
        var commands = new List<ReadmeCommand>();
        string? fence = null;
        foreach (string line in page.Split('\n'))
        {
            if (line.StartsWith("```", StringComparison.Ordinal))
            {
                fence = fence is null ? line[3..].Trim() : null;
            }
            else if (line.Trim().Length > 0 && (fence is null ? line.StartsWith("    ", StringComparison.Ordinal) : fence != "csharp"))
            {
                Match match = Line().Match(line);
                commands.Add(new ReadmeCommand(match.Groups["command"].Value, match.Groups["comment"].Value));
            }
        }

        return commands;
    }

    /// <summary>What the text names in passing: `kv shell -k orders`.</summary>
    public static IReadOnlyList<string> InlineOf(string page) => [.. Inline().Matches(page).Select(match => match.Groups["command"].Value)];

    /// <summary>The blocks of C#.</summary>
    public static IReadOnlyList<string> SnippetsOf(string page) => [.. Snippet().Matches(page).Select(match => match.Groups["code"].Value)];

    [GeneratedRegex(@"^\s*(?<command>.*?)(\s+#\s*(?<comment>.*?))?\s*$")]
    private static partial Regex Line();

    [GeneratedRegex(@"`(?<command>(kv|dotnet|source|docker) [^`\n]+)`")]
    private static partial Regex Inline();

    [GeneratedRegex(@"^```csharp\n(?<code>.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Snippet();
}
