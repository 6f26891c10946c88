using System.Buffers.Text;
using System.Globalization;
using KvStore.Contracts;
using KvStore.Contracts.V1;

namespace KvStore.Node.Rest;

/// <summary>What every answer says of itself, in headers: the version as ETag, and how much the answer is worth.</summary>
internal static class AnswerHeaders
{
    public const string Outcome = "KvStore-Outcome";
    public const string Code = "KvStore-Code";
    public const string Regime = "KvStore-Regime";
    public const string Epoch = "KvStore-Epoch";
    public const string Acknowledgements = "KvStore-Acknowledgements";
    public const string Degraded = "KvStore-Degraded";
    public const string Siblings = "KvStore-Siblings";
    public const string Staleness = "KvStore-Staleness-Ms";
    public const string ExpiresIn = "KvStore-Expires-In-Ms";
    public const string Node = "KvStore-Node";

    /// <summary>Of requests too.</summary>
    public const string Session = "KvStore-Session";

    public static void Write(HttpResponse response, Result result)
    {
        IHeaderDictionary headers = response.Headers;
        headers[Outcome] = NameOf(result.Outcome);
        headers[Regime] = NameOf(result.Regime);
        headers[Epoch] = Text(result.Epoch);
        headers[Acknowledgements] = Text(result.Acknowledgements);
        headers[Staleness] = Text(result.StalenessMs);
        headers[Node] = Text(result.Node);
        if (result.Degraded)
        {
            headers[Degraded] = "true";
        }

        if (result.Siblings.Count > 1)
        {
            headers[Siblings] = Text((uint)result.Siblings.Count);
        }

        if (result.ExpiresInMs > 0)
        {
            headers[ExpiresIn] = Text(result.ExpiresInMs);
        }

        if (!result.Version.IsEmpty)
        {
            headers.ETag = ETagOf(result.Version.Span);
        }
    }

    public static string NameOf(Outcome outcome) => outcome switch
    {
        Contracts.V1.Outcome.Done => "done",
        Contracts.V1.Outcome.NotDone => "not-done",
        _ => "unknown",
    };

    public static string NameOf(Regime regime) => regime switch
    {
        Contracts.V1.Regime.Ordered => "ordered",
        Contracts.V1.Regime.Open => "open",
        Contracts.V1.Regime.Provisional => "provisional",
        _ => "unknown",
    };

    /// <summary>"NO_LEADER" and so on become "no-leader": the names of kv.proto.</summary>
    public static string NameOf(Code code)
    {
        var name = new System.Text.StringBuilder();
        foreach (char letter in code.ToString())
        {
            _ = char.IsAsciiLetterUpper(letter) && name.Length > 0 ? name.Append('-').Append(char.ToLowerInvariant(letter)) : name.Append(char.ToLowerInvariant(letter));
        }

        return name.ToString();
    }

    public static string ETagOf(ReadOnlySpan<byte> version) => $"\"{Base64Url.EncodeToString(version)}\"";

    /// <summary>The version in an entity tag, as an answer gave it.</summary>
    /// <exception cref="RestRefusal">It is none.</exception>
    public static byte[] VersionOf(string tag, string header)
    {
        ReadOnlySpan<char> text = tag.AsSpan().Trim();
        if (text.StartsWith("W/", StringComparison.Ordinal) || text.Length < 3 || text[0] != '"' || text[^1] != '"' || text[1..^1].Contains('"'))
        {
            throw RestRefusal.BadRequest($"{header} takes one strong entity tag in quotes, as an answer gave it in ETag.");
        }

        try
        {
            byte[] version = Base64Url.DecodeFromChars(text[1..^1]);
            return version.Length <= KvLimits.MaxVersionBytes ? version : throw RestRefusal.TooLarge($"The version in {header} has {version.Length} bytes; pass one back as an answer gave it.");
        }
        catch (FormatException)
        {
            throw RestRefusal.BadRequest($"The version in {header} is none of ours; pass one back as an answer gave it in ETag.");
        }
    }

    private static string Text(ulong number) => number.ToString(CultureInfo.InvariantCulture);
}
