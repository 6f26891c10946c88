using System.Text;
using System.Text.Json;

namespace KvStore.Cli.Output;

/// <summary>Shows keys and values, which are bytes, to people and programs.</summary>
internal static class ByteText
{
    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>The text, where the bytes are UTF-8 text; null where they are not.</summary>
    public static string? AsText(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return Strict.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    /// <summary>For a table cell or a line: text without control characters, or the beginning of the bytes in hex.</summary>
    public static string ForPeople(ReadOnlySpan<byte> bytes, int atMost = 60)
    {
        var text = AsText(bytes);
        if (text is null)
        {
            return bytes.Length <= 16 ? "0x" + Convert.ToHexStringLower(bytes) : $"0x{Convert.ToHexStringLower(bytes[..16])}... ({bytes.Length:N0} bytes)";
        }

        var shown = new StringBuilder(Math.Min(text.Length, atMost));
        foreach (var character in text)
        {
            if (shown.Length >= atMost)
            {
                return $"{shown}... ({bytes.Length:N0} bytes)";
            }

            shown.Append(char.IsControl(character) ? '\u00b7' : character);
        }

        return shown.ToString();
    }

    /// <summary>Writes <c>"name": "text"</c>, or <c>"nameBase64": "..."</c> where the bytes are not text.</summary>
    public static void WriteJson(Utf8JsonWriter json, string name, ReadOnlySpan<byte> bytes)
    {
        if (AsText(bytes) is { } text)
        {
            json.WriteString(name, text);
        }
        else
        {
            json.WriteBase64String(name + "Base64", bytes);
        }
    }
}
