namespace KvStore.Core.Versioning;

/// <summary>
/// Hands out hybrid timestamps that only grow. Time is an argument. A receiver takes every write whatever its timestamp (one fast clock must not make acknowledged writes
/// untakeable), but a timestamp that is too far ahead does not drag this clock along.
/// </summary>
public sealed class HybridClock
{
    /// <summary>The last timestamp handed out while <see cref="Last"/> was too far ahead to go on from.</summary>
    private HybridTimestamp _lastWithin;

    public HybridClock(HybridTimestamp last = default) => Last = last;

    /// <summary>The highest timestamp handed out or learned.</summary>
    public HybridTimestamp Last { get; private set; }

    /// <summary>A timestamp above all handed out and learned before, at or above the physical time.</summary>
    public HybridTimestamp Now(long physicalMs)
    {
        HybridTimestamp physical = HybridTimestamp.FromPhysical(physicalMs);
        Last = physical > Last ? physical : Last.Next;
        return Last;
    }

    /// <summary>
    /// As <see cref="Now(long)"/>, but never further ahead of the physical time than the bound: a physical clock that had run ahead and was set right would otherwise be followed for as long as it had been wrong. Such timestamps are
    /// below earlier ones of this clock; where that matters, use the other method.
    /// </summary>
    public HybridTimestamp Now(long physicalMs, long maxAheadMs)
    {
        if (Last.PhysicalMs <= physicalMs + maxAheadMs)
        {
            return Now(physicalMs);
        }

        HybridTimestamp physical = HybridTimestamp.FromPhysical(physicalMs);
        _lastWithin = physical > _lastWithin || _lastWithin.PhysicalMs > physicalMs + maxAheadMs ? physical : _lastWithin.Next;
        return _lastWithin;
    }

    /// <summary>Learns a timestamp that came with a write of someone else.</summary>
    /// <param name="timestamp">Theirs.</param>
    /// <param name="physicalMs">The own physical clock, milliseconds since 1970 UTC.</param>
    /// <param name="maxDriftMs">How far ahead of the own physical clock a timestamp may be and still be learned.</param>
    /// <returns>False if it was too far ahead and was not learned; the write is to be accepted all the same.</returns>
    public bool Observe(HybridTimestamp timestamp, long physicalMs, long maxDriftMs)
    {
        if (timestamp.PhysicalMs > physicalMs + maxDriftMs)
        {
            return false;
        }

        if (timestamp > Last)
        {
            Last = timestamp;
        }

        return true;
    }
}
