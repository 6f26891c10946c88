using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace KvStore.Client;

/// <summary>
/// The serializer a client has unless told otherwise: byte[] and ReadOnlyMemory&lt;byte&gt; as they are, string as UTF-8, long and int as decimal text (so that every language and the command line
/// read them), and System.Text.Json for types whose JsonTypeInfo was added; no reflection, so it survives trimming.
/// </summary>
/// <example><code>new KvSerializer().Add(OrderContext.Default.Order)</code></example>
public sealed class KvSerializer : IKvSerializer
{
    private const int MaxIntegerText = 20;

    private readonly ConcurrentDictionary<Type, JsonTypeInfo> _json = new();

    /// <summary>Adds a type by its source-generated metadata.</summary>
    /// <returns>This serializer.</returns>
    public KvSerializer Add<T>(JsonTypeInfo<T> typeInfo)
    {
        ArgumentNullException.ThrowIfNull(typeInfo);
        _json[typeof(T)] = typeInfo;
        return this;
    }

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">The type is neither built in nor added.</exception>
    public ReadOnlyMemory<byte> Serialize<T>(T value)
    {
        if (typeof(T) == typeof(ReadOnlyMemory<byte>))
        {
            return (ReadOnlyMemory<byte>)(object)value!;
        }

        if (typeof(T) == typeof(long))
        {
            return Decimal((long)(object)value!);
        }

        if (typeof(T) == typeof(int))
        {
            return Decimal((int)(object)value!);
        }

        return value switch
        {
            null => throw new ArgumentNullException(nameof(value), "A value can't be null; delete the key instead."),
            byte[] bytes => bytes,
            string text => Encoding.UTF8.GetBytes(text),
            _ => JsonSerializer.SerializeToUtf8Bytes(value, TypeInfo<T>()),
        };
    }

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">The type is neither built in nor added.</exception>
    /// <exception cref="FormatException">The bytes are not a decimal number.</exception>
    public T Deserialize<T>(ReadOnlyMemory<byte> bytes)
    {
        if (typeof(T) == typeof(ReadOnlyMemory<byte>))
        {
            return (T)(object)bytes;
        }

        if (typeof(T) == typeof(byte[]))
        {
            return (T)(object)bytes.ToArray();
        }

        if (typeof(T) == typeof(string))
        {
            return (T)(object)Encoding.UTF8.GetString(bytes.Span);
        }

        if (typeof(T) == typeof(long))
        {
            return (T)(object)ParseDecimal(bytes.Span);
        }

        if (typeof(T) == typeof(int))
        {
            return (T)(object)checked((int)ParseDecimal(bytes.Span));
        }

        return JsonSerializer.Deserialize(bytes.Span, TypeInfo<T>()) ?? throw new FormatException("The value is the JSON literal null.");
    }

    private static ReadOnlyMemory<byte> Decimal(long value)
    {
        Span<byte> text = stackalloc byte[MaxIntegerText];
        Utf8Formatter.TryFormat(value, text, out int written);
        return text[..written].ToArray();
    }

    private static long ParseDecimal(ReadOnlySpan<byte> text) =>
        Utf8Parser.TryParse(text, out long value, out int consumed) && consumed == text.Length
            ? value
            : throw new FormatException("The value is not a whole decimal number.");

    private JsonTypeInfo<T> TypeInfo<T>() =>
        _json.TryGetValue(typeof(T), out JsonTypeInfo? info)
            ? (JsonTypeInfo<T>)info
            : throw new NotSupportedException($"No way to serialize {typeof(T)} is known: add its JsonTypeInfo to the KvSerializer, or set KvClientOptions.Serializer.");
}
