using System.Buffers.Text;
using KvStore.Contracts;
using Microsoft.AspNetCore.Http.Features;

namespace KvStore.Node.Rest;

/// <summary>
/// The key of a request: what stands behind <c>/keys/</c>, percent-decoded to bytes. Taken from the target as it was sent, because the server's own decoding keeps <c>%2F</c> and can't carry bytes that are no
/// UTF-8. A NUL byte can't stand in a URL: with <c>encoding=base64url</c> keys are given, and come back, as base64url.
/// </summary>
internal static class RestKey
{
    private const string Marker = "/keys/";
    private const string EncodingName = "encoding";
    private const string Base64Name = "base64url";

    /// <exception cref="RestRefusal">The key is empty, too long, or wrongly encoded.</exception>
    public static byte[] Of(HttpContext context)
    {
        bool base64 = IsBase64(context);
        string target = context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
        int query = target.IndexOf('?', StringComparison.Ordinal);
        ReadOnlySpan<char> path = query < 0 ? target : target.AsSpan(0, query);

        // The keyspace's name comes before and can't hold a slash, so the first marker is the one.
        int start = path.IndexOf(Marker, StringComparison.Ordinal);
        ReadOnlySpan<char> key = start < 0 ? [] : path[(start + Marker.Length)..];
        return key.IsEmpty
            ? throw RestRefusal.BadRequest($"The URL names no key: write one of 1 to {KvLimits.MaxKeyBytes} bytes behind /keys/, as in /v1/keyspaces/orders/keys/order/17.")
            : Parse(key, base64);
    }

    /// <summary>A key as text.</summary>
    /// <exception cref="RestRefusal">The key is empty, too long, or wrongly encoded.</exception>
    public static byte[] Parse(ReadOnlySpan<char> text, bool base64)
    {
        byte[] key = Decode(text, base64);
        return key.Length switch
        {
            0 => throw RestRefusal.BadRequest($"The key is empty; a key has 1 to {KvLimits.MaxKeyBytes} bytes."),
            > KvLimits.MaxKeyBytes => throw RestRefusal.TooLarge($"The key has {key.Length} bytes; at most {KvLimits.MaxKeyBytes} are allowed."),
            _ => key,
        };
    }

    /// <summary>A key as a query value gives it: <c>prefix=</c> and <c>after=</c> of a scan. Empty where it is not given.</summary>
    public static byte[] OfQuery(HttpContext context, string name)
    {
        bool base64 = IsBase64(context);
        ReadOnlySpan<char> query = context.Request.QueryString.Value.AsSpan().TrimStart('?');
        foreach (Range part in query.Split('&'))
        {
            ReadOnlySpan<char> pair = query[part];
            if (pair.StartsWith(name, StringComparison.Ordinal) && pair.Length > name.Length && pair[name.Length] == '=')
            {
                byte[] key = Decode(pair[(name.Length + 1)..], base64);
                return key.Length <= KvLimits.MaxKeyBytes ? key : throw RestRefusal.TooLarge($"{name} has {key.Length} bytes; at most {KvLimits.MaxKeyBytes} are allowed.");
            }
        }

        return [];
    }

    /// <summary>Whether the request gives its keys, and wants them back, as base64url.</summary>
    public static bool IsBase64(HttpContext context) => context.Request.Query[EncodingName].ToString() switch
    {
        "" or "percent" => false,
        Base64Name => true,
        var other => throw RestRefusal.BadRequest($"{EncodingName} is '{(other.Length > 32 ? other[..32] : other)}': choose percent or {Base64Name}."),
    };

    /// <summary>The text form in answers: what may stand in a URL unchanged, everything else percent-encoded byte by byte; or base64url.</summary>
    public static string Encode(ReadOnlySpan<byte> key, bool base64)
    {
        if (base64)
        {
            return Base64Url.EncodeToString(key);
        }

        var text = new System.Text.StringBuilder(key.Length);
        foreach (byte b in key)
        {
            bool plain = char.IsAsciiLetterOrDigit((char)b) || b is (byte)'-' or (byte)'.' or (byte)'_' or (byte)'~' or (byte)'/' or (byte)':' or (byte)'@';
            _ = plain ? text.Append((char)b) : text.Append('%').Append(b.ToString("X2", System.Globalization.CultureInfo.InvariantCulture));
        }

        return text.ToString();
    }

    private static byte[] Decode(ReadOnlySpan<char> text, bool base64)
    {
        if (base64)
        {
            return Base64Url.IsValid(text) ? Base64Url.DecodeFromChars(text) : throw RestRefusal.BadRequest("The key is no base64url: use A-Z, a-z, 0-9, '-' and '_', without padding.");
        }

        byte[] bytes = new byte[System.Text.Encoding.UTF8.GetMaxByteCount(text.Length)];
        int length = 0;
        for (int i = 0; i < text.Length; i++)
        {
            if (text[i] == '%')
            {
                if (i + 2 >= text.Length || !byte.TryParse(text.Slice(i + 1, 2), System.Globalization.NumberStyles.AllowHexSpecifier, System.Globalization.CultureInfo.InvariantCulture, out bytes[length]))
                {
                    throw RestRefusal.BadRequest("A key is percent-encoded: each % is followed by two hexadecimal digits, and a % itself is written as %25.");
                }

                length++;
                i += 2;
            }
            else
            {
                // The two halves of a character beyond U+FFFF stay together.
                int units = char.IsHighSurrogate(text[i]) && i + 1 < text.Length ? 2 : 1;
                length += System.Text.Encoding.UTF8.GetBytes(text.Slice(i, units), bytes.AsSpan(length));
                i += units - 1;
            }
        }

        return bytes[..length];
    }
}
