using System.ComponentModel;
using System.Globalization;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using Microsoft.AspNetCore.Mvc;

namespace KvStore.Node.Rest;

/// <summary>What a read may ask for.</summary>
internal sealed record ReadParameters
{
    [FromRoute(Name = "keyspace")]
    [Description("The keyspace's name.")]
    public required string Keyspace { get; init; }

    [FromQuery(Name = "level")]
    [Description("linearizable (cp), eventual, or quorum (ap). Without it: the keyspace's default.")]
    public string? Level { get; init; }

    [FromQuery(Name = "encoding")]
    [Description("How keys are written: percent (percent-encoded, the default) or base64url, which can carry NUL bytes.")]
    public string? Encoding { get; init; }

    [FromQuery(Name = "timeout_ms")]
    [Description("How long to wait at most, 1 to 600000; 10000 without it.")]
    public string? TimeoutMs { get; init; }

    public ReadLevel ParsedLevel => Level switch
    {
        null => ReadLevel.Unspecified,
        "linearizable" => ReadLevel.Linearizable,
        "eventual" => ReadLevel.Eventual,
        "quorum" => ReadLevel.Quorum,
        _ => throw RestRefusal.BadRequest($"level is '{Level}': choose linearizable, eventual or quorum."),
    };

    public uint ParsedTimeoutMs => RequestNumbers.Parse(TimeoutMs, "timeout_ms", 1, KvLimits.MaxTimeoutMs, whenMissing: 0);
}

/// <summary>What a write may ask for.</summary>
internal sealed record WriteParameters
{
    [FromRoute(Name = "keyspace")]
    [Description("The keyspace's name.")]
    public required string Keyspace { get; init; }

    [FromHeader(Name = "If-Match")]
    [Description("cp: only if the key's version is this ETag.")]
    public string? IfMatch { get; init; }

    [FromHeader(Name = "If-None-Match")]
    [Description("cp: with *, only if the key has no value.")]
    public string? IfNoneMatch { get; init; }

    [FromHeader(Name = "KvStore-Context")]
    [Description("ap: supersede exactly what the read with this ETag saw.")]
    public string? Context { get; init; }

    [FromHeader(Name = "KvStore-Request-Id")]
    [Description("SESSION-SEQUENCE: a random number of 1 to 16 hexadecimal digits for the caller, a hyphen, and a count from 1. The same id sent again has one effect.")]
    public string? RequestId { get; init; }

    [FromQuery(Name = "encoding")]
    [Description("How keys are written: percent (percent-encoded, the default) or base64url, which can carry NUL bytes.")]
    public string? Encoding { get; init; }

    [FromQuery(Name = "timeout_ms")]
    [Description("How long to wait at most, 1 to 600000; 10000 without it.")]
    public string? TimeoutMs { get; init; }

    public uint ParsedTimeoutMs => RequestNumbers.Parse(TimeoutMs, "timeout_ms", 1, KvLimits.MaxTimeoutMs, whenMissing: 0);

    public (WriteCondition Condition, byte[] Version) ParsedCondition()
    {
        if ((IfMatch is null ? 0 : 1) + (IfNoneMatch is null ? 0 : 1) + (Context is null ? 0 : 1) > 1)
        {
            throw RestRefusal.BadRequest("Give one of If-Match, If-None-Match and KvStore-Context, not several.");
        }

        if (IfNoneMatch is not null)
        {
            return IfNoneMatch.Trim() == "*" ? (WriteCondition.IfAbsent, []) : throw RestRefusal.BadRequest("If-None-Match of a write takes only *: only if the key has no value.");
        }

        return (IfMatch, Context) switch
        {
            ({ } tag, _) => (WriteCondition.IfVersion, AnswerHeaders.VersionOf(tag, "If-Match")),
            (_, { } tag) => (WriteCondition.InContext, AnswerHeaders.VersionOf(tag, "KvStore-Context")),
            _ => (WriteCondition.Unspecified, []),
        };
    }

    public (ulong Session, ulong Sequence) ParsedRequestId() => RequestIds.Parse(RequestId);
}

/// <summary>What a transaction may ask for.</summary>
internal sealed record TransactionParameters
{
    [FromRoute(Name = "keyspace")]
    [Description("The keyspace's name: cp, or adaptive.")]
    public required string Keyspace { get; init; }

    [FromHeader(Name = "KvStore-Request-Id")]
    [Description("SESSION-SEQUENCE, as for a put. The same transaction sent again under its id has one effect and the same answer.")]
    public string? RequestId { get; init; }

    [FromQuery(Name = "encoding")]
    [Description("How keys are written: percent (percent-encoded, the default) or base64url, which can carry NUL bytes.")]
    public string? Encoding { get; init; }

    [FromQuery(Name = "timeout_ms")]
    [Description("How long to wait at most, 1 to 600000; 10000 without it.")]
    public string? TimeoutMs { get; init; }

    public uint ParsedTimeoutMs => RequestNumbers.Parse(TimeoutMs, "timeout_ms", 1, KvLimits.MaxTimeoutMs, whenMissing: 0);

    public (ulong Session, ulong Sequence) ParsedRequestId => RequestIds.Parse(RequestId);
}

/// <summary>Request ids in a header.</summary>
internal static class RequestIds
{
    /// <summary>Session and sequence; zero where there is no id.</summary>
    public static (ulong Session, ulong Sequence) Parse(string? requestId)
    {
        if (requestId is null)
        {
            return (0, 0);
        }

        int hyphen = requestId.IndexOf('-', StringComparison.Ordinal);
        return hyphen is > 0 and <= 16
            && ulong.TryParse(requestId.AsSpan(0, hyphen), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong session)
            && ulong.TryParse(requestId.AsSpan(hyphen + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ulong sequence)
            && session != 0 && sequence != 0
                ? (session, sequence)
                : throw RestRefusal.BadRequest("KvStore-Request-Id is SESSION-SEQUENCE: up to 16 hexadecimal digits that are not all zero, a hyphen, and a number from 1.");
    }
}

/// <summary>Numbers in a query, with a sentence for those that won't do.</summary>
internal static class RequestNumbers
{
    public static uint Parse(string? text, string name, uint min, uint max, uint whenMissing) => text is null
        ? whenMissing
        : uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint number) && number >= min && number <= max
            ? number
            : throw RestRefusal.BadRequest($"{name} is '{(text.Length > 32 ? text[..32] : text)}': give a whole number from {min} to {max}.");
}
