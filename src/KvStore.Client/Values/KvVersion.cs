using KvStore.Contracts;

namespace KvStore.Client;

/// <summary>
/// Which state of a key was seen: opaque, handed out by reads and writes, handed back in conditions. default is <see cref="Absent"/>.
/// <see cref="ToString"/> and <see cref="Parse"/> carry it as text, for example through an HTTP ETag.
/// </summary>
public readonly struct KvVersion : IEquatable<KvVersion>
{
    /// <summary>A version from the bytes of <see cref="Bytes"/>.</summary>
    /// <exception cref="ArgumentException">Longer than 4,096 bytes.</exception>
    public KvVersion(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.Length > KvLimits.MaxVersionBytes)
        {
            throw new ArgumentException($"A version has at most {KvLimits.MaxVersionBytes} bytes; this one has {bytes.Length}.", nameof(bytes));
        }

        Bytes = bytes;
    }

    /// <summary>The version of a key that has no value.</summary>
    public static KvVersion Absent => default;

    /// <summary>The bytes, without meaning to callers.</summary>
    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>Whether this stands for "no value".</summary>
    public bool IsAbsent => Bytes.IsEmpty;

    /// <summary>Whether both name the same state.</summary>
    public static bool operator ==(KvVersion left, KvVersion right) => left.Equals(right);

    /// <summary>Whether they name different states.</summary>
    public static bool operator !=(KvVersion left, KvVersion right) => !left.Equals(right);

    /// <summary>What <see cref="ToString"/> wrote.</summary>
    /// <exception cref="FormatException">Not hexadecimal.</exception>
    public static KvVersion Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new KvVersion(Convert.FromHexString(text));
    }

    /// <inheritdoc/>
    public bool Equals(KvVersion other) => Bytes.Span.SequenceEqual(other.Bytes.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is KvVersion other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        HashCode hash = default;
        hash.AddBytes(Bytes.Span);
        return hash.ToHashCode();
    }

    /// <summary>Hexadecimal; empty for <see cref="Absent"/>.</summary>
    public override string ToString() => Convert.ToHexStringLower(Bytes.Span);

    /// <summary>A version out of a received frame, copied: whoever keeps it must not keep the frame alive.</summary>
    internal static KvVersion Received(ReadOnlyMemory<byte> bytes) => bytes.IsEmpty ? default : new KvVersion(bytes.ToArray());
}
