using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>The append messages on their way to one follower: a ring of (last index, bytes), bounded by number and by bytes.</summary>
internal sealed class Inflights(int maxMessages, int maxBytes)
{
    private (LogIndex Last, int Bytes)[] _ring = new (LogIndex, int)[Math.Min(maxMessages, 8)];
    private int _head;

    public int Count { get; private set; }

    public long Bytes { get; private set; }

    public bool IsFull => Count >= maxMessages || Bytes >= maxBytes;

    public void Add(LogIndex last, int bytes)
    {
        Invariant.Assert(!IsFull);
        if (Count == _ring.Length)
        {
            Grow();
        }

        _ring[(_head + Count) % _ring.Length] = (last, bytes);
        Count++;
        Bytes += bytes;
    }

    /// <summary>The follower has everything up to <paramref name="index"/>.</summary>
    public void FreeUpTo(LogIndex index)
    {
        while (Count > 0 && _ring[_head].Last <= index)
        {
            FreeFirst();
        }
    }

    /// <summary>Gives up on the oldest message, so that a window that filled up with lost messages opens again.</summary>
    public void FreeFirst()
    {
        Invariant.Assert(Count > 0);
        Bytes -= _ring[_head].Bytes;
        _head = (_head + 1) % _ring.Length;
        Count--;
    }

    public void Clear()
    {
        _head = 0;
        Count = 0;
        Bytes = 0;
    }

    private void Grow()
    {
        var larger = new (LogIndex, int)[Math.Min(maxMessages, _ring.Length * 2)];
        for (int i = 0; i < Count; i++)
        {
            larger[i] = _ring[(_head + i) % _ring.Length];
        }

        _ring = larger;
        _head = 0;
    }
}
