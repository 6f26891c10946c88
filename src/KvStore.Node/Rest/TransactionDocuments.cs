using System.Text.Json.Serialization;
using Google.Protobuf;
using KvStore.Contracts.V1;

namespace KvStore.Node.Rest;

/// <summary>What a key must be like: exactly one of the fields beside the key.</summary>
/// <param name="Key">As it stands in a URL behind <c>/keys/</c>: percent-encoded, or base64url with <c>encoding=base64url</c>.</param>
/// <param name="Exists">true: the key has a value; false: it has none.</param>
/// <param name="Version">The key's ETag, as an answer gave it, with its quotes.</param>
/// <param name="Value">The value, in base64.</param>
/// <param name="Text">The value, as text in UTF-8.</param>
internal sealed record ComparisonDocument(string? Key, bool? Exists, string? Version, byte[]? Value, string? Text);

/// <summary>One operation: exactly one of get, put and delete, which names the key.</summary>
/// <param name="Get">The key to read.</param>
/// <param name="Put">The key to set, to value or text.</param>
/// <param name="Delete">The key to remove.</param>
/// <param name="Value">Put: the value, in base64.</param>
/// <param name="Text">Put: the value, as text in UTF-8.</param>
/// <param name="TtlMs">Put: how long the value lives, in milliseconds. Left out: the keyspace's default.</param>
internal sealed record OperationDocument(string? Get, string? Put, string? Delete, byte[]? Value, string? Text, ulong? TtlMs);

/// <summary>If all comparisons hold, then, else else.</summary>
internal sealed record TransactionDocument(IReadOnlyList<ComparisonDocument?>? If, IReadOnlyList<OperationDocument?>? Then, IReadOnlyList<OperationDocument?>? Else)
{
    /// <exception cref="RestRefusal">It is none.</exception>
    public Transaction ToMessage(bool base64)
    {
        var message = new Transaction();
        message.Comparisons.AddRange((If ?? []).Select(comparison => ToMessage(comparison ?? throw Null("if"), base64)));
        message.Then.AddRange((Then ?? []).Select(operation => ToMessage(operation ?? throw Null("then"), base64)));
        message.Otherwise.AddRange((Else ?? []).Select(operation => ToMessage(operation ?? throw Null("else"), base64)));
        return message;
    }

    private static RestRefusal Null(string list) => RestRefusal.BadRequest($"An element of '{list}' is null.");

    private static Comparison ToMessage(ComparisonDocument document, bool base64)
    {
        if (document.Key is null)
        {
            throw RestRefusal.BadRequest("A comparison names its key.");
        }

        var comparison = new Comparison { Key = ByteString.CopyFrom(RestKey.Parse(document.Key, base64)) };
        switch (document)
        {
            case { Exists: { } exists, Version: null, Value: null, Text: null }:
                comparison.Kind = exists ? ComparisonKind.Exists : ComparisonKind.Absent;
                break;
            case { Exists: null, Version: { } version, Value: null, Text: null }:
                comparison.Kind = ComparisonKind.VersionIs;
                comparison.Version = ByteString.CopyFrom(AnswerHeaders.VersionOf(version, "version"));
                break;
            case { Exists: null, Version: null } when document.Value is null != document.Text is null:
                comparison.Kind = ComparisonKind.ValueIs;
                comparison.Value = ValueOf(document.Value, document.Text);
                break;
            default:
                throw RestRefusal.BadRequest("A comparison has its key and one of exists, version, value and text.");
        }

        return comparison;
    }

    private static TransactionOperation ToMessage(OperationDocument document, bool base64)
    {
        TransactionOperation operation = document switch
        {
            { Get: not null, Put: null, Delete: null } => new TransactionOperation { Kind = OperationKind.Get },
            { Get: null, Put: not null, Delete: null } => new TransactionOperation { Kind = OperationKind.Put },
            { Get: null, Put: null, Delete: not null } => new TransactionOperation { Kind = OperationKind.Delete },
            _ => throw RestRefusal.BadRequest("An operation has one of get, put and delete, which names its key."),
        };
        operation.Key = ByteString.CopyFrom(RestKey.Parse((document.Get ?? document.Put ?? document.Delete)!, base64));
        if (operation.Kind != OperationKind.Put)
        {
            return document is { Value: null, Text: null, TtlMs: null } ? operation : throw RestRefusal.BadRequest("A value and a time to live are for puts; leave them out.");
        }

        operation.Value = document.Value is null != document.Text is null ? ValueOf(document.Value, document.Text) : throw RestRefusal.BadRequest("A put has one of value (base64) and text.");
        operation.TtlMs = document.TtlMs ?? 0;
        return operation;
    }

    private static ByteString ValueOf(byte[]? value, string? text) => value is not null ? ByteString.CopyFrom(value) : ByteString.CopyFromUtf8(text!);
}

/// <summary>What one operation came to: get, put or delete names its key.</summary>
/// <param name="Found">Get: whether the key had a value.</param>
/// <param name="Value">Get: the value, in base64.</param>
/// <param name="Version">The key's ETag: as the get found it, or as the put made it.</param>
/// <param name="Siblings">Get: how many values there are, where a merge has left several.</param>
/// <param name="ExpiresInMs">Get: how long the value has to live.</param>
internal sealed record OperationResultDocument(
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Get,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Put,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Delete,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] bool? Found,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] byte[]? Value,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? Version,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] uint? Siblings,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] ulong? ExpiresInMs);

/// <param name="Branch">then: all comparisons held; or else.</param>
/// <param name="Results">One for each operation of the branch.</param>
internal sealed record TransactionResultDocument(string Branch, IReadOnlyList<OperationResultDocument> Results)
{
    public static TransactionResultDocument Of(Transaction asked, TransactionResult result, bool base64)
    {
        bool then = result.Branch == TransactionBranch.Then;
        return new TransactionResultDocument(then ? "then" : "else", [.. (then ? asked.Then : asked.Otherwise).Zip(result.Results, (operation, came) => Of(operation, came, base64))]);
    }

    private static OperationResultDocument Of(TransactionOperation operation, TransactionOperationResult came, bool base64)
    {
        string key = RestKey.Encode(operation.Key.Span, base64);
        string? version = came.Version.IsEmpty ? null : AnswerHeaders.ETagOf(came.Version.Span);
        return operation.Kind switch
        {
            OperationKind.Put => new OperationResultDocument(null, key, null, null, null, version, null, null),
            OperationKind.Delete => new OperationResultDocument(null, null, key, null, null, null, null, null),
            _ => new OperationResultDocument(
                key,
                null,
                null,
                came.Found,
                came.Found ? came.Value.ToByteArray() : null,
                version,
                came.SiblingCount == 0 ? null : came.SiblingCount,
                came.ExpiresInMs == 0 ? null : came.ExpiresInMs),
        };
    }
}
