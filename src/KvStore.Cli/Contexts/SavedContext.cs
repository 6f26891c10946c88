namespace KvStore.Cli.Contexts;

/// <summary>A cluster under a name: where it is, and what commands take for granted there.</summary>
/// <param name="Name">1 to 64 of letters, digits, '-', '_' and '.'.</param>
/// <param name="Endpoints">At least one address.</param>
/// <param name="Keyspace">For commands that name none.</param>
internal sealed record SavedContext(string Name, IReadOnlyList<string> Endpoints, string? Keyspace)
{
    public const int MaxNameLength = 64;

    public static bool IsName(string text) =>
        text.Length is > 0 and <= MaxNameLength && text.All(character => char.IsAsciiLetterOrDigit(character) || character is '-' or '_' or '.');
}
