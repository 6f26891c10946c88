using System.Text.Json;
using KvStore.Cli.Running;

namespace KvStore.Cli.Contexts;

/// <summary>The user's contexts and which of them is chosen: one small JSON file, replaced as a whole with each change.</summary>
/// <param name="Current">The chosen one; null: none.</param>
/// <param name="Contexts">By name.</param>
internal sealed record ContextFile(string? Current, IReadOnlyList<SavedContext> Contexts)
{
    public const string Variable = "KV_CONTEXTS";

    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { WriteIndented = true };

    public static ContextFile Empty { get; } = new(null, []);

    /// <summary>$KV_CONTEXTS, else kv/contexts.json below $XDG_CONFIG_HOME or, where that is not set, below the user's usual place for settings.</summary>
    public static string PathOf(Terminal terminal)
    {
        if (terminal.Environment(Variable) is { Length: > 0 } path)
        {
            return Path.GetFullPath(path);
        }

        var folder = terminal.Environment("XDG_CONFIG_HOME") is { Length: > 0 } configured
            ? configured
            : Environment.GetFolderPath(Environment.SpecialFolder.ApplicationData, Environment.SpecialFolderOption.DoNotVerify);
        return Path.GetFullPath(Path.Combine(folder, "kv", "contexts.json"));
    }

    /// <exception cref="CliFailure">There is a file, and it is not one of contexts.</exception>
    public static ContextFile Load(Terminal terminal)
    {
        var path = PathOf(terminal);
        if (!File.Exists(path))
        {
            return Empty;
        }

        try
        {
            return JsonSerializer.Deserialize<ContextFile>(File.ReadAllText(path), Json) is { Contexts: { } contexts } file && contexts.All(IsWhole)
                ? file
                : throw new JsonException();
        }
        catch (JsonException)
        {
            throw new CliFailure(ExitCode.NoInput, $"'{path}' does not hold contexts as kv writes them; mend it, or remove it and use 'kv context set' again.");
        }
    }

    public SavedContext? Find(string name) => Contexts.FirstOrDefault(context => context.Name == name);

    /// <exception cref="CliFailure">There is none of this name.</exception>
    public SavedContext Get(string name) =>
        Find(name) ?? throw new CliFailure(ExitCode.NotFound, $"There is no context '{name}'; 'kv context list' shows those there are, 'kv context set {name} -e HOST:PORT' makes it.");

    public ContextFile With(SavedContext context) => this with { Contexts = [.. Contexts.Where(other => other.Name != context.Name).Append(context).OrderBy(each => each.Name, StringComparer.Ordinal)] };

    public ContextFile Without(string name) => new(Current == name ? null : Current, [.. Contexts.Where(context => context.Name != name)]);

    /// <summary>Whoever reads meanwhile sees the old file or the new one.</summary>
    public void Save(Terminal terminal)
    {
        var path = PathOf(terminal);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var temporary = $"{path}.{Environment.ProcessId}.new";
        File.WriteAllText(temporary, JsonSerializer.Serialize(this, Json) + "\n");
        File.Move(temporary, path, overwrite: true);
    }

    private static bool IsWhole(SavedContext? context) => context is { Name: { } name, Endpoints.Count: > 0 } && SavedContext.IsName(name) && context.Endpoints.All(endpoint => !string.IsNullOrEmpty(endpoint));
}
