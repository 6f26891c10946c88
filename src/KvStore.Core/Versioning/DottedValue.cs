namespace KvStore.Core.Versioning;

/// <summary>One of the values of a key, with the write that it came from. A dot names one value for ever, so two values are equal when their dots are.</summary>
public readonly record struct DottedValue(Dot Dot, HybridTimestamp Timestamp, ReadOnlyMemory<byte> Value)
{
    /// <summary>The order among concurrent values: timestamp, then actor, then counter.</summary>
    public bool WinsOver(in DottedValue other)
        => Timestamp != other.Timestamp ? Timestamp > other.Timestamp : Dot.CompareTo(other.Dot) > 0;

    public bool Equals(DottedValue other) => Dot == other.Dot && Timestamp == other.Timestamp && Value.Span.SequenceEqual(other.Value.Span);

    public override int GetHashCode() => Dot.GetHashCode();
}
