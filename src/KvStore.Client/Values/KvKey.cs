using System.Text;
using KvStore.Contracts;

namespace KvStore.Client;

/// <summary>A key: 1 to 4,096 bytes. Text becomes UTF-8. Keys that share a non-empty "{tag}" live in the same shard.</summary>
public readonly struct KvKey : IEquatable<KvKey>, IComparable<KvKey>
{
    /// <summary>A key of bytes, which must not change while the key is in use.</summary>
    /// <exception cref="ArgumentException">Empty, or longer than 4,096 bytes.</exception>
    public KvKey(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.Length is 0 or > KvLimits.MaxKeyBytes)
        {
            throw new ArgumentException($"A key is 1 to {KvLimits.MaxKeyBytes} bytes; this one has {bytes.Length}.", nameof(bytes));
        }

        Bytes = bytes;
    }

    private KvKey(ReadOnlyMemory<byte> bytes, bool _) => Bytes = bytes;

    /// <summary>The bytes. Empty only for default(KvKey), which no operation accepts.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>A key from text, as UTF-8.</summary>
    /// <exception cref="ArgumentException">Empty, or longer than 4,096 bytes.</exception>
    public static implicit operator KvKey(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new KvKey(Encoding.UTF8.GetBytes(text));
    }

    /// <summary>A key from bytes, which are not copied.</summary>
    /// <exception cref="ArgumentException">Empty, or longer than 4,096 bytes.</exception>
    public static implicit operator KvKey(byte[] bytes)
    {
        ArgumentNullException.ThrowIfNull(bytes);
        return new KvKey(bytes.AsMemory());
    }

    /// <summary>A key from bytes, which are not copied.</summary>
    /// <exception cref="ArgumentException">Empty, or longer than 4,096 bytes.</exception>
    public static implicit operator KvKey(ReadOnlyMemory<byte> bytes) => new(bytes);

    /// <summary>Whether both keys have the same bytes.</summary>
    public static bool operator ==(KvKey left, KvKey right) => left.Equals(right);

    /// <summary>Whether the keys differ.</summary>
    public static bool operator !=(KvKey left, KvKey right) => !left.Equals(right);

    /// <inheritdoc/>
    public bool Equals(KvKey other) => Bytes.Span.SequenceEqual(other.Bytes.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is KvKey other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.AddBytes(Bytes.Span);
        return hash.ToHashCode();
    }

    /// <summary>Bytewise, as scans order keys.</summary>
    public int CompareTo(KvKey other) => Bytes.Span.SequenceCompareTo(other.Bytes.Span);

    /// <summary>The bytes read as UTF-8; what is not UTF-8 shows as U+FFFD.</summary>
    public override string ToString() => Encoding.UTF8.GetString(Bytes.Span);

    /// <summary>A key that the server sent, taken as it is.</summary>
    internal static KvKey Received(ReadOnlyMemory<byte> bytes) => new(bytes, true);
}
