using System.Text;

namespace KvStore.Core.Identity;

/// <summary>The bytes of a key, 1 to 4,096 of them, compared as unsigned bytes. The array behind it is never written to again.</summary>
public readonly struct Key : IEquatable<Key>, IComparable<Key>
{
    public const int MaxLength = 4_096;

    public Key(ReadOnlyMemory<byte> bytes)
    {
        ArgumentOutOfRangeException.ThrowIfZero(bytes.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes.Length, MaxLength);
        Bytes = bytes;
    }

    public ReadOnlyMemory<byte> Bytes { get; }

    public ReadOnlySpan<byte> Span => Bytes.Span;

    public static Key FromText(string text) => new(Encoding.UTF8.GetBytes(text));

    /// <summary>A copy that owns its bytes.</summary>
    public static Key CopyOf(ReadOnlySpan<byte> bytes) => new(bytes.ToArray());

    public bool Equals(Key other) => Span.SequenceEqual(other.Span);

    public override bool Equals(object? obj) => obj is Key other && Equals(other);

    /// <summary>The same in every process, unlike the framework's own hashes.</summary>
    public override int GetHashCode() => KeyHash.Of(Span);

    public int CompareTo(Key other) => Span.SequenceCompareTo(other.Span);

    public static bool operator ==(Key left, Key right) => left.Equals(right);

    public static bool operator !=(Key left, Key right) => !left.Equals(right);

    public override string ToString() => Encoding.UTF8.GetString(Span);
}
