using KvStore.Client.Operations;

namespace KvStore.Client.Connections;

/// <summary>
/// The operations under way on one stream, by call id: an index into an array below 16 bits of which a generation counts the uses, so that a late answer never meets a stranger. Not thread-safe.
/// </summary>
internal sealed class SlotTable(int capacity)
{
    private const int IndexBits = 16;
    private const int InitialSlots = 64;

    private Slot[] _slots = new Slot[Math.Min(InitialSlots, capacity)];
    private int[] _free = new int[Math.Min(InitialSlots, capacity)];
    private int _freeCount;

    /// <summary>Slots that were ever in use: no other needs to be looked at.</summary>
    private int _used;

    public int Count { get; private set; }

    /// <summary>A free slot, or a null reference when all are taken.</summary>
    public ref Slot TryTake(KvOperation operation, out ulong callId)
    {
        int index;
        if (_freeCount > 0)
        {
            index = _free[--_freeCount];
        }
        else if (_used < capacity)
        {
            index = _used++;
            Grow(index);
        }
        else
        {
            callId = 0;
            return ref System.Runtime.CompilerServices.Unsafe.NullRef<Slot>();
        }

        ref Slot slot = ref _slots[index];
        slot.Generation++;
        slot.Operation = operation;
        callId = ((ulong)slot.Generation << IndexBits) | (uint)index;
        Count++;
        return ref slot;
    }

    /// <summary>Takes out the operation of this call; null if it is no longer under way.</summary>
    public KvOperation? Remove(ulong callId, out Slot removed)
    {
        int index = (int)(callId & ((1 << IndexBits) - 1));
        if (index >= _used || _slots[index].Operation is null || _slots[index].Generation != (uint)(callId >> IndexBits))
        {
            removed = default;
            return null;
        }

        removed = _slots[index];
        Release(index);
        return removed.Operation;
    }

    /// <summary>Frees a slot by its index, for walks over <see cref="Used"/>.</summary>
    public void Release(int index)
    {
        _slots[index].Operation = null;
        _free[_freeCount++] = index;
        Count--;
    }

    public Span<Slot> Used() => _slots.AsSpan(0, _used);

    private void Grow(int index)
    {
        if (index >= _slots.Length)
        {
            int size = Math.Min(capacity, 2 * _slots.Length);
            Array.Resize(ref _slots, size);
            Array.Resize(ref _free, size);
        }
    }

    internal struct Slot
    {
        public KvOperation? Operation;
        public uint Generation;

        /// <summary>Which of the stream's operations it is, counted from 1.</summary>
        public ulong Ordinal;

        /// <summary>Where it begins in the outbound buffer, as long as it has not been handed over.</summary>
        public int Offset;
        public int Bytes;
        public long SubmittedTimestamp;
    }
}
