namespace KvStore.Core.Versioning;

/// <summary>What the bytes of a value are. Numbers are part of the record formats.</summary>
public enum ValueForm : byte
{
    /// <summary>Whatever the client wrote.</summary>
    Bytes = 0,

    /// <summary>The running total of one actor: <see cref="CounterTotal"/>.</summary>
    Counter = 1,
}

/// <summary>One of the values of a key, with the write that it came from. A dot names one value for ever, so two values are equal when their dots are.</summary>
public readonly record struct DottedValue(Dot Dot, HybridTimestamp Timestamp, ReadOnlyMemory<byte> Value)
{
    public ValueForm Form { get; init; }

    /// <summary>When it expires, in Unix milliseconds of the clock that gave the write its timestamp. Zero: never.</summary>
    public ulong ExpiresMs { get; init; }

    /// <summary>Neither a counter nor bound to expire: encoded as it was before there were such values.</summary>
    public bool IsPlain => Form == ValueForm.Bytes && ExpiresMs == 0;

    public bool IsCounter => Form == ValueForm.Counter;

    /// <summary>How long it was given to live, counted from its timestamp. Zero: for ever.</summary>
    public ulong TtlMs => ExpiresMs == 0 ? 0 : ExpiresMs - Math.Min(ExpiresMs, (ulong)Timestamp.PhysicalMs);

    /// <summary>The order among concurrent values: timestamp, then actor, then counter.</summary>
    public bool WinsOver(in DottedValue other)
        => Timestamp != other.Timestamp ? Timestamp > other.Timestamp : Dot.CompareTo(other.Dot) > 0;

    public bool Equals(DottedValue other)
        => Dot == other.Dot && Timestamp == other.Timestamp && Form == other.Form && ExpiresMs == other.ExpiresMs && Value.Span.SequenceEqual(other.Value.Span);

    public override int GetHashCode() => Dot.GetHashCode();
}
