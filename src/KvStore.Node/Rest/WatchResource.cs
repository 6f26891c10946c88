using System.Buffers.Text;
using System.ComponentModel;
using System.Globalization;
using Google.Protobuf;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.Node.Watching;
using Microsoft.AspNetCore.Mvc;

namespace KvStore.Node.Rest;

/// <summary>What a watch over HTTP may ask for.</summary>
internal sealed record WatchParameters
{
    [FromRoute(Name = "keyspace")]
    [Description("The keyspace's name.")]
    public required string Keyspace { get; init; }

    [FromQuery(Name = "key")]
    [Description("One key. Give either key or prefix.")]
    public string? Key { get; init; }

    [FromQuery(Name = "prefix")]
    [Description("All keys that begin with this; empty: all keys.")]
    public string? Prefix { get; init; }

    [FromQuery(Name = "from")]
    [Description("Resume behind the event with this id. The header Last-Event-ID, which browsers send by themselves, says the same and counts more.")]
    public string? From { get; init; }

    [FromHeader(Name = "Last-Event-ID")]
    [Description("Resume behind the event with this id.")]
    public string? LastEventId { get; init; }

    [FromQuery(Name = "initial")]
    [Description("true: begin with what the keys hold (events current, then caught-up).")]
    public string? Initial { get; init; }

    [FromQuery(Name = "encoding")]
    [Description("How keys are written: percent (percent-encoded, the default) or base64url, which can carry NUL bytes.")]
    public string? Encoding { get; init; }
}

/// <summary>Changes as server-sent events: the kind as the event's name, the token as its id, so that an EventSource resumes by itself.</summary>
internal static class WatchResource
{
    private static readonly ReadOnlyMemory<byte> Alive = ": alive\n\n"u8.ToArray();

    public static async Task Get(HttpContext context, [AsParameters] WatchParameters parameters, WatchHub watches)
    {
        bool base64 = RestKey.IsBase64(context);
        try
        {
            await using WatchStream stream = await watches.OpenAsync(RequestOf(context, parameters), context.RequestAborted);
            await WriteAsync(context, stream, base64);
        }
        catch (WatchRefusedException refused)
        {
            throw new RestRefusal(RestRefusal.StatusOf(refused.Code), refused.Code, Outcome.NotDone, refused.Retryable, refused.Message);
        }
        catch (Exception gone) when (context.RequestAborted.IsCancellationRequested && gone is IOException or OperationCanceledException)
        {
            // The reader went away, which is how these end.
        }
    }

    private static WatchRequest RequestOf(HttpContext context, WatchParameters parameters)
    {
        var request = new WatchRequest { Keyspace = parameters.Keyspace };
        switch (parameters.Key, parameters.Prefix)
        {
            case ({ }, { }) or (null, null):
                throw RestRefusal.BadRequest("Say what to watch: either key=, or prefix= (an empty one stands for all keys).");
            case ({ }, null):
                request.Key = ByteString.CopyFrom(RestKey.OfQuery(context, "key"));
                break;
            default:
                request.Prefix = ByteString.CopyFrom(RestKey.OfQuery(context, "prefix"));
                break;
        }

        if ((string.IsNullOrEmpty(parameters.LastEventId) ? parameters.From : parameters.LastEventId) is { Length: > 0 } token)
        {
            request.Token = Base64Url.IsValid(token) ? ByteString.CopyFrom(Base64Url.DecodeFromChars(token)) : throw RestRefusal.BadRequest("The token is none of a watch's: pass on the id of an event.");
        }

        request.InitialValues = parameters.Initial switch
        {
            null or "" or "false" => false,
            "true" => true,
            _ => throw RestRefusal.BadRequest("initial is true or false."),
        };
        return request;
    }

    private static async Task WriteAsync(HttpContext context, WatchStream stream, bool base64)
    {
        HttpResponse response = context.Response;
        response.ContentType = "text/event-stream";
        response.Headers.CacheControl = "no-store";
        response.Headers[AnswerHeaders.Node] = stream.Hub.Self.Value.ToString(CultureInfo.InvariantCulture);
        await response.StartAsync(context.RequestAborted);
        var token = new WatchToken { Cluster = stream.Plan.ClusterMark, KeyspaceId = stream.Plan.Keyspace.Id };
        while (await stream.NextAsync(context.RequestAborted) is { } batch)
        {
            foreach (WatchEvent told in batch.Events)
            {
                string? id = Note(token, told, stream.Plan.Shards.Count);
                if (told.Kind == WatchEventKind.Progress && id is null)
                {
                    await response.Body.WriteAsync(Alive, context.RequestAborted);
                    continue;
                }

                await response.WriteAsync(Frame(told, id, base64), context.RequestAborted);
            }

            await response.Body.FlushAsync(context.RequestAborted);
        }
    }

    /// <summary>The token behind an event; null while some shard has no position.</summary>
    private static string? Note(WatchToken token, WatchEvent told, int shards)
    {
        WatchTokenPart? part = token.Parts.FirstOrDefault(part => part.Shard == told.Shard);
        if (!told.Position.IsEmpty)
        {
            if (part is null)
            {
                token.Parts.Add(part = new WatchTokenPart { Shard = told.Shard });
            }

            part.Position = told.Position;
        }
        else if (part is not null && told.Kind == WatchEventKind.Gap)
        {
            token.Parts.Remove(part);
        }

        return token.Parts.Count == shards ? WatchTokens.ToText(token) : null;
    }

    private static string Frame(WatchEvent told, string? id, bool base64)
    {
        string data = System.Text.Json.JsonSerializer.Serialize(WatchEventDocument.Of(told, base64), ReadableJson.Context.WatchEventDocument);
        string name = WatchEventDocument.NameOf(told.Kind);
        return id is null ? $"event: {name}\ndata: {data}\n\n" : $"id: {id}\nevent: {name}\ndata: {data}\n\n";
    }
}

/// <param name="Kind">put, deleted, expired, evicted, progress, gap, current, caught-up or ended.</param>
/// <param name="Key">As in a scan; null where the event is of no key.</param>
/// <param name="Value">In base64; of put and current.</param>
/// <param name="Version">The ETag of the key.</param>
/// <param name="Siblings">All values, where there are several concurrent ones.</param>
/// <param name="Written">By the writer's clock.</param>
/// <param name="Code">Of ended: why.</param>
internal sealed record WatchEventDocument(
    string Kind,
    uint Shard,
    string? Key,
    byte[]? Value,
    string? Version,
    IReadOnlyList<SiblingDocument>? Siblings,
    string? Regime,
    ulong? Epoch,
    DateTimeOffset? Written,
    ulong? ExpiresInMs,
    string? Code,
    string? Reason)
{
    public static WatchEventDocument Of(WatchEvent told, bool base64)
    {
        bool hasValue = told.Kind is WatchEventKind.Put or WatchEventKind.Current;
        return new WatchEventDocument(
            NameOf(told.Kind),
            told.Shard,
            told.Key.IsEmpty ? null : RestKey.Encode(told.Key.Span, base64),
            hasValue ? told.Value.ToByteArray() : null,
            told.Version.IsEmpty ? null : AnswerHeaders.ETagOf(told.Version.Span),
            told.Siblings.Count == 0 ? null : [.. told.Siblings.Select(sibling => new SiblingDocument(sibling.Value.ToByteArray(), DateTimeOffset.FromUnixTimeMilliseconds((long)sibling.TimestampMs)))],
            told.Key.IsEmpty ? null : AnswerHeaders.NameOf(told.Regime),
            told.Key.IsEmpty ? null : told.Epoch,
            hasValue ? DateTimeOffset.FromUnixTimeMilliseconds((long)told.TimestampMs) : null,
            told.ExpiresInMs == 0 ? null : told.ExpiresInMs,
            told.Code == Contracts.V1.Code.Unspecified ? null : AnswerHeaders.NameOf(told.Code),
            told.Reason.Length == 0 ? null : told.Reason);
    }

    public static string NameOf(WatchEventKind kind) => kind switch
    {
        WatchEventKind.CaughtUp => "caught-up",
        _ => kind.ToString().ToLowerInvariant(),
    };
}
