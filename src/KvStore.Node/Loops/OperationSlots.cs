using KvStore.Core.Identity;

namespace KvStore.Node.Loops;

/// <summary>
/// Operations that a replica holds, by handle: an array and a free list, so that an operation costs no allocation. A handle carries a generation, so that a late answer never reaches another operation.
/// </summary>
internal sealed class OperationSlots
{
    private struct Slot
    {
        public OperationOrigin? Origin;
        public ulong CallId;
        public ShardId Shard;
        public bool IsWrite;
        public uint Generation;
        public int NextFree;
    }

    private Slot[] _slots = new Slot[1_024];
    private int _free = -1;
    private int _used;

    public int Count { get; private set; }

    public ulong Add(OperationOrigin origin, ulong callId, ShardId shard, bool isWrite)
    {
        int index = _free;
        if (index >= 0)
        {
            _free = _slots[index].NextFree;
        }
        else
        {
            if (_used == _slots.Length)
            {
                Array.Resize(ref _slots, _slots.Length * 2);
            }

            index = _used++;
        }

        ref Slot slot = ref _slots[index];
        slot.Origin = origin;
        slot.CallId = callId;
        slot.Shard = shard;
        slot.IsWrite = isWrite;
        slot.Generation++;
        Count++;
        return ((ulong)slot.Generation << 32) | (uint)(index + 1);
    }

    /// <summary>The handles of one shard's operations. Looks at all of them: for rare occasions.</summary>
    public List<(ulong Handle, bool IsWrite)> Of(ShardId shard)
    {
        List<(ulong, bool)> found = [];
        for (int index = 0; index < _used; index++)
        {
            ref readonly Slot slot = ref _slots[index];
            if (slot.Origin is not null && slot.Shard == shard)
            {
                found.Add((((ulong)slot.Generation << 32) | (uint)(index + 1), slot.IsWrite));
            }
        }

        return found;
    }

    public bool TryTake(ulong handle, out OperationOrigin origin, out ulong callId)
    {
        int index = (int)(uint)handle - 1;
        if ((uint)index >= (uint)_used || _slots[index].Generation != (uint)(handle >> 32) || _slots[index].Origin is not { } found)
        {
            origin = OperationOrigin.Nobody;
            callId = 0;
            return false;
        }

        ref Slot slot = ref _slots[index];
        origin = found;
        callId = slot.CallId;
        slot.Origin = null;
        slot.NextFree = _free;
        _free = index;
        Count--;
        return true;
    }
}
