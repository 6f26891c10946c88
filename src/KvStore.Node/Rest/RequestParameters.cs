using System.ComponentModel;
using System.Globalization;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using Microsoft.AspNetCore.Mvc;

namespace KvStore.Node.Rest;

/// <summary>What every request for keys may say.</summary>
internal abstract record RequestParameters
{
    [FromRoute(Name = "keyspace")]
    [Description("The keyspace's name.")]
    public required string Keyspace { get; init; }

    [FromHeader(Name = AnswerHeaders.Session)]
    [Description("The token of the session to go on with, as its last answer brought it; new: begin one. Reads see what the session has written and read, on whichever node; the answer brings the token for the next request.")]
    public string? Session { get; init; }

    [FromQuery(Name = "encoding")]
    [Description("How keys are written: percent (percent-encoded, the default) or base64url, which can carry NUL bytes.")]
    public string? Encoding { get; init; }

    [FromQuery(Name = "timeout_ms")]
    [Description("How long to wait at most, 1 to 600000; 10000 without it.")]
    public string? TimeoutMs { get; init; }

    public uint ParsedTimeoutMs => RequestNumbers.Parse(TimeoutMs, "timeout_ms", 1, KvLimits.MaxTimeoutMs, whenMissing: 0);
}

/// <summary>What a read may ask for.</summary>
internal sealed record ReadParameters : RequestParameters
{
    [FromQuery(Name = "level")]
    [Description("linearizable (cp), eventual, quorum (ap), session or bounded. Without it: session in a session, bounded with max_staleness_ms, else the keyspace's default.")]
    public string? Level { get; init; }

    [FromQuery(Name = "max_staleness_ms")]
    [Description("Level bounded: how old the answer may be, 1 to 600000.")]
    public string? MaxStalenessMs { get; init; }

    /// <summary>The level, and the bound of a bounded one.</summary>
    public (ReadLevel Level, uint MaxStalenessMs) ParsedLevel()
    {
        uint bound = RequestNumbers.Parse(MaxStalenessMs, "max_staleness_ms", 1, KvLimits.MaxStalenessMs, whenMissing: 0);
        ReadLevel level = Level switch
        {
            null when bound > 0 => ReadLevel.Bounded,
            null when Session is not null => ReadLevel.Session,
            null => ReadLevel.Unspecified,
            "linearizable" => ReadLevel.Linearizable,
            "eventual" => ReadLevel.Eventual,
            "quorum" => ReadLevel.Quorum,
            "session" => ReadLevel.Session,
            "bounded" => ReadLevel.Bounded,
            _ => throw RestRefusal.BadRequest($"level is '{RequestNumbers.Shown(Level)}': choose linearizable, eventual, quorum, session or bounded."),
        };
        return (level, bound) switch
        {
            (ReadLevel.Bounded, 0) => throw RestRefusal.BadRequest("Level bounded says how old its answer may be: add max_staleness_ms=N."),
            (not ReadLevel.Bounded, > 0) => throw RestRefusal.BadRequest("max_staleness_ms is for level bounded; leave out one of them."),
            (ReadLevel.Session, _) when Session is null => throw RestRefusal.BadRequest($"Level session goes on with a session: give its token in {AnswerHeaders.Session}, or new to begin one."),
            _ => (level, bound),
        };
    }
}

/// <summary>What everything that changes something may say: who asks, so that a retry has one effect.</summary>
internal abstract record IdentifiedParameters : RequestParameters
{
    [FromHeader(Name = "KvStore-Request-Id")]
    [Description("SESSION-SEQUENCE: a random number of 1 to 16 hexadecimal digits for the caller, a hyphen, and a count from 1. The same request sent again under its id has one effect and the same answer.")]
    public string? RequestId { get; init; }

    /// <summary>Session and sequence; zero where there is no id.</summary>
    public (ulong Session, ulong Sequence) ParsedRequestId()
    {
        if (RequestId is null)
        {
            return (0, 0);
        }

        int hyphen = RequestId.IndexOf('-', StringComparison.Ordinal);
        return hyphen is > 0 and <= 16
            && ulong.TryParse(RequestId.AsSpan(0, hyphen), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong session)
            && ulong.TryParse(RequestId.AsSpan(hyphen + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ulong sequence)
            && session != 0 && sequence != 0
                ? (session, sequence)
                : throw RestRefusal.BadRequest("KvStore-Request-Id is SESSION-SEQUENCE: up to 16 hexadecimal digits that are not all zero, a hyphen, and a number from 1.");
    }
}

/// <summary>What a put or a delete may ask for. Deletes have no time to live.</summary>
internal record WriteParameters : IdentifiedParameters
{
    [FromHeader(Name = "If-Match")]
    [Description("cp: only if the key's version is this ETag.")]
    public string? IfMatch { get; init; }

    [FromHeader(Name = "If-None-Match")]
    [Description("cp: with *, only if the key has no value.")]
    public string? IfNoneMatch { get; init; }

    [FromHeader(Name = "KvStore-Context")]
    [Description("ap: supersede exactly what the read with this ETag saw.")]
    public string? Context { get; init; }

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
}

/// <summary>What a put may ask for.</summary>
internal sealed record PutParameters : WriteParameters
{
    [FromQuery(Name = "ttl_ms")]
    [Description("How long the value lives, 1 to 315360000000 (10 years), or never. Without it: the keyspace's default.")]
    public string? TtlMs { get; init; }

    public ulong ParsedTtlMs => RequestNumbers.ParseTtl(TtlMs);
}

/// <summary>What an increment may ask for.</summary>
internal sealed record IncrementParameters : IdentifiedParameters
{
    [FromQuery(Name = "increment")]
    [Description("What to add: a whole number of 64 bits, which may be negative.")]
    public string? Increment { get; init; }

    [FromQuery(Name = "ttl_ms")]
    [Description("How long a counter that this creates lives, 1 to 315360000000 (10 years), or never. One that exists keeps its time.")]
    public string? TtlMs { get; init; }

    [FromQuery(Name = "may_have_happened")]
    [Description("true: an earlier request with the same KvStore-Request-Id was not answered. ap: a replica that can't tell either answers unknown instead of counting twice.")]
    public string? MayHaveHappened { get; init; }

    public long ParsedIncrement => Increment is null
        ? throw RestRefusal.BadRequest("POST adds to a counter; say how much: ?increment=1. To set a value use PUT.")
        : long.TryParse(Increment, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long by)
            ? by
            : throw RestRefusal.BadRequest($"increment is '{RequestNumbers.Shown(Increment)}': give a whole number of 64 bits, such as 1 or -3.");

    public ulong ParsedTtlMs => RequestNumbers.ParseTtl(TtlMs);

    public bool ParsedMayHaveHappened => MayHaveHappened switch
    {
        null or "" or "false" => false,
        "true" when RequestId is not null => true,
        "true" => throw RestRefusal.BadRequest("may_have_happened is for a request that is sent again under its KvStore-Request-Id; give that too."),
        _ => throw RestRefusal.BadRequest("may_have_happened is true or false."),
    };
}

/// <summary>What a transaction may ask for.</summary>
internal sealed record TransactionParameters : IdentifiedParameters;

/// <summary>Numbers in a query, with a sentence for those that won't do.</summary>
internal static class RequestNumbers
{
    public static uint Parse(string? text, string name, uint min, uint max, uint whenMissing) => text is null
        ? whenMissing
        : uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint number) && number >= min && number <= max
            ? number
            : throw RestRefusal.BadRequest($"{name} is '{Shown(text)}': give a whole number from {min} to {max}.");

    /// <summary>A time to live as the wire has it: zero is the keyspace's default.</summary>
    public static ulong ParseTtl(string? text) => text switch
    {
        null => 0,
        "never" => KvLimits.NoExpiry,
        _ => ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) && number is >= 1 and <= KvLimits.MaxTtlMs
            ? number
            : throw RestRefusal.BadRequest($"ttl_ms is '{Shown(text)}': give a whole number from 1 to {KvLimits.MaxTtlMs} (10 years), or never."),
    };

    /// <summary>What a caller wrote, no longer than a sentence can bear.</summary>
    public static string Shown(string text) => text.Length > 32 ? text[..32] : text;
}
