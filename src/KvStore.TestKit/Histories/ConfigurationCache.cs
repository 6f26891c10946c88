using System.Buffers;

namespace KvStore.TestKit.Histories;

/// <summary>
/// The configurations (which operations are placed, and the state that they lead to) that a search has been in: Lowe's memoisation, without which the search
/// would walk through every order of the same operations. Each is stored as [hash, state, bits...] in pooled chunks, found by open addressing, and compared
/// exactly: a hash collision costs time, never a wrong verdict.
/// </summary>
internal sealed class ConfigurationCache : IDisposable
{
    private const int ChunkLength = 1 << 14;
    private const int InitialSlots = 1 << 10;
    private readonly int _entryLength;
    private readonly int _entriesPerChunk;
    private readonly List<ulong[]> _chunks = [];

    /// <summary>Numbers of entries, plus one; zero is free. The length is a power of two; the rented array may be longer.</summary>
    private int[] _slots;
    private int _slotCount = InitialSlots;

    public ConfigurationCache(int bitWords)
    {
        _entryLength = bitWords + 2;
        _entriesPerChunk = Math.Max(1, ChunkLength / _entryLength);
        _slots = RentSlots(InitialSlots);
    }

    public int Count { get; private set; }

    /// <summary>Adds a configuration; false if it is known already.</summary>
    public bool Add(ReadOnlySpan<ulong> bits, ulong bitsHash, int state)
    {
        var hash = (bitsHash ^ (uint)state) * 0x9E37_79B9_7F4A_7C15;
        hash ^= hash >> 32;
        var slot = (int)hash & (_slotCount - 1);
        while (_slots[slot] != 0)
        {
            var known = Entry(_slots[slot] - 1);
            if (known[0] == hash && known[1] == (ulong)state && known[2..].SequenceEqual(bits))
            {
                return false;
            }

            slot = (slot + 1) & (_slotCount - 1);
        }

        if (Count == _chunks.Count * _entriesPerChunk)
        {
            _chunks.Add(ArrayPool<ulong>.Shared.Rent(_entriesPerChunk * _entryLength));
        }

        var entry = Entry(Count);
        entry[0] = hash;
        entry[1] = (ulong)state;
        bits.CopyTo(entry[2..]);
        _slots[slot] = ++Count;
        if (Count > _slotCount / 2)
        {
            Grow();
        }

        return true;
    }

    public void Dispose()
    {
        foreach (var chunk in _chunks)
        {
            ArrayPool<ulong>.Shared.Return(chunk);
        }

        _chunks.Clear();
        ArrayPool<int>.Shared.Return(_slots);
        _slots = [];
    }

    private static int[] RentSlots(int count)
    {
        var slots = ArrayPool<int>.Shared.Rent(count);
        slots.AsSpan().Clear();
        return slots;
    }

    private Span<ulong> Entry(int number) => _chunks[number / _entriesPerChunk].AsSpan(number % _entriesPerChunk * _entryLength, _entryLength);

    private void Grow()
    {
        ArrayPool<int>.Shared.Return(_slots);
        _slotCount *= 2;
        _slots = RentSlots(_slotCount);
        for (var number = 0; number < Count; number++)
        {
            var slot = (int)Entry(number)[0] & (_slotCount - 1);
            while (_slots[slot] != 0)
            {
                slot = (slot + 1) & (_slotCount - 1);
            }

            _slots[slot] = number + 1;
        }
    }
}
