using KvStore.Contracts.V1;
using KvStore.Core.Policy;
using KvStore.Node.Catalog;
using KvStore.Node.Loops;

namespace KvStore.Node.Rest;

/// <summary>Keyspaces: list, describe, create, delete.</summary>
internal static class KeyspaceResource
{
    public static KeyspaceDocument[] List(LoopSet loops) => [.. loops.Router.RequireCatalog().Keyspaces.Where(keyspace => keyspace.Id > 0).Select(KeyspaceDocument.Of)];

    public static KeyspaceDocument Get(string keyspace, LoopSet loops) => KeyspaceDocument.Of(RestCall.Find(loops, keyspace));

    public static async Task<KeyspaceDocument> Create(HttpContext context, string keyspace, KeyspaceAdmin keyspaces)
    {
        KeyspaceSettingsDocument settings = await ReadSettingsAsync(context);
        var request = new CreateKeyspaceRequest
        {
            Name = keyspace,
            Policy = (Contracts.V1.PartitionPolicy)Choice<PartitionChoice>(settings.Policy, "policy", ["cp", "ap", "adaptive"]),
            Replication = (Contracts.V1.Replication)Choice<Core.Policy.Replication>(settings.Replication, "replication", ["sync", "async", "best-effort"]),
            Shards = (uint)Math.Max(0, settings.Shards ?? 0),
            Replicas = (uint)Math.Max(0, settings.Replicas ?? 0),
        };
        return KeyspaceDocument.Of(await keyspaces.CreateAsync(request, context.RequestAborted));
    }

    /// <summary>The id must be given, so that a request that is repeated never deletes what was created since.</summary>
    public static async Task<IResult> Delete(HttpContext context, string keyspace, KeyspaceDeletion deletion)
    {
        Microsoft.Extensions.Primitives.StringValues given = context.Request.Query["id"];
        if (given.Count != 1 || !uint.TryParse(given[0], System.Globalization.NumberStyles.None, System.Globalization.CultureInfo.InvariantCulture, out uint id) || id == 0)
        {
            throw RestRefusal.BadRequest("Say which keyspace is meant by its id, as GET /v1/keyspaces/NAME shows it: DELETE /v1/keyspaces/NAME?id=ID.");
        }

        await deletion.DeleteAsync(keyspace, id, context.RequestAborted);
        return Results.NoContent();
    }

    public static string NameOf<T>(T choice)
        where T : struct, Enum => choice.ToString() == nameof(Core.Policy.Replication.BestEffort) ? "best-effort" : choice.ToString().ToLowerInvariant();

    private static async Task<KeyspaceSettingsDocument> ReadSettingsAsync(HttpContext context)
    {
        const string Example = """{"policy": "cp", "replication": "sync"}""";
        const int MostBytes = 4_096;
        if (context.Request.ContentLength is > MostBytes)
        {
            throw RestRefusal.TooLarge($"The settings of a keyspace are a small JSON object, such as {Example}.");
        }

        try
        {
            return await context.Request.ReadFromJsonAsync(RestJson.Default.KeyspaceSettingsDocument, context.RequestAborted)
                ?? throw RestRefusal.BadRequest($"The body is null: send the settings as JSON, such as {Example}.");
        }
        catch (System.Text.Json.JsonException malformed)
        {
            throw RestRefusal.BadRequest($"The settings can't be read ({malformed.Message}): send JSON, such as {Example}.");
        }
        catch (InvalidOperationException)
        {
            throw RestRefusal.BadRequest($"Send the settings with Content-Type: application/json, such as {Example}.");
        }
    }

    private static T Choice<T>(string? text, string name, string[] choices)
        where T : struct, Enum => text is not null && choices.Contains(text) && Enum.TryParse(text.Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out T choice)
            ? choice
            : throw RestRefusal.BadRequest($"{name} is {(text is null ? "missing" : $"'{(text.Length > 32 ? text[..32] : text)}'")}: choose one of {string.Join(", ", choices)}.");
}
