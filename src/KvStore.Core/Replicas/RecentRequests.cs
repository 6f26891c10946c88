using KvStore.Core.Identity;
using KvStore.Core.Tables;

namespace KvStore.Core.Replicas;

/// <summary>Something for each of the last so many requests of clients; the oldest is forgotten first. Takes little where little was asked.</summary>
internal sealed class RecentRequests<T>(int capacity)
    where T : struct
{
    private readonly SlotIndex _index = new();

    /// <summary>In the order in which they came, from the oldest on, round and round once it is full.</summary>
    private Entry[] _ring = new Entry[16];
    private int _oldest;

    public int Count => _index.Count;

    /// <returns>The slot of the request, or -1.</returns>
    public int Find(in RequestId request)
    {
        for (SlotIndex.Probe probe = _index.Of(HashOf(request.Session, request.Sequence)); probe.Next(out int slot);)
        {
            if (_ring[slot].Session == request.Session && _ring[slot].Sequence == request.Sequence)
            {
                return slot;
            }
        }

        return -1;
    }

    public ref T At(int slot) => ref _ring[slot].Value;

    /// <param name="request">One that is not here.</param>
    /// <param name="value">What to remember of it.</param>
    /// <param name="forgotten">What was remembered of the oldest one, if that had to go.</param>
    /// <param name="hasForgotten">Whether it had.</param>
    /// <returns>Its slot.</returns>
    public int Add(in RequestId request, in T value, out T forgotten, out bool hasForgotten)
    {
        hasForgotten = Count == capacity;
        forgotten = default;
        int slot = Count;
        if (hasForgotten)
        {
            slot = _oldest;
            ref Entry oldest = ref _ring[slot];
            forgotten = oldest.Value;
            _index.Remove(HashOf(oldest.Session, oldest.Sequence), slot);
            _oldest = slot + 1 == capacity ? 0 : slot + 1;
        }
        else if (slot == _ring.Length)
        {
            Array.Resize(ref _ring, Math.Min(capacity, slot * 2));
        }

        _ring[slot] = new Entry { Session = request.Session, Sequence = request.Sequence, Value = value };
        _index.Add(HashOf(request.Session, request.Sequence), slot);
        return slot;
    }

    /// <summary>Of the numbers that a session counts up one of several shards gets every few: so the fourth part of a number is what counts up.</summary>
    private static int HashOf(ulong session, ulong sequence) => SlotIndex.HashOf(session, sequence >> 2) ^ (int)(sequence << 30);

    private struct Entry
    {
        public ulong Session;
        public ulong Sequence;
        public T Value;
    }
}
