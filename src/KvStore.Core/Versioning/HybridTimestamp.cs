namespace KvStore.Core.Versioning;

/// <summary>
/// A hybrid logical timestamp (Kulkarni and others, "Logical Physical Clocks", 2014) in 64 bits: 48 bits of milliseconds since 1970 UTC above a 16-bit counter that orders what
/// happens within one of them. It breaks ties between concurrent values and says roughly when; it never decides what supersedes what.
/// </summary>
public readonly record struct HybridTimestamp(ulong Packed) : IComparable<HybridTimestamp>
{
    public const int CounterBits = 16;
    public const long MaxPhysicalMs = (1L << 48) - 1;

    public static readonly HybridTimestamp Zero;

    public long PhysicalMs => (long)(Packed >> CounterBits);

    public int Counter => (int)(Packed & 0xFFFF);

    /// <summary>The successor: the next counter value, and the next millisecond when the counter is exhausted.</summary>
    public HybridTimestamp Next => new(checked(Packed + 1));

    /// <param name="physicalMs">Milliseconds since 1970 UTC, 0 to <see cref="MaxPhysicalMs"/>.</param>
    public static HybridTimestamp FromPhysical(long physicalMs)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(physicalMs);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(physicalMs, MaxPhysicalMs);
        return new HybridTimestamp((ulong)physicalMs << CounterBits);
    }

    public int CompareTo(HybridTimestamp other) => Packed.CompareTo(other.Packed);

    public static bool operator <(HybridTimestamp left, HybridTimestamp right) => left.Packed < right.Packed;

    public static bool operator >(HybridTimestamp left, HybridTimestamp right) => left.Packed > right.Packed;

    public static bool operator <=(HybridTimestamp left, HybridTimestamp right) => left.Packed <= right.Packed;

    public static bool operator >=(HybridTimestamp left, HybridTimestamp right) => left.Packed >= right.Packed;

    public override string ToString() => $"{PhysicalMs}ms+{Counter}";
}
