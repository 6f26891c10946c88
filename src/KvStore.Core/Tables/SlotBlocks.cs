using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KvStore.Core.Tables;

/// <summary>Slots by number, in small blocks, so that growing never copies any. What is given back is given out again, the last one first.</summary>
public sealed class SlotBlocks<T>
    where T : struct
{
    private const int BlockShift = 7;
    private const int BlockSlots = 1 << BlockShift;

    private readonly Stack<int> _free = new();
    private T[][] _blocks = [];

    /// <summary>One more than the highest number that was ever given out.</summary>
    public int End { get; private set; }

    /// <summary>The slot of a number that <see cref="Take"/> has given out. Blocks are equally long: to ask one for its length would cost a line of memory that nobody else needs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref T At(int slot) => ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_blocks[slot >> BlockShift]), slot & (BlockSlots - 1));

    /// <summary>A slot with nothing in it.</summary>
    public int Take()
    {
        if (_free.TryPop(out int free))
        {
            return free;
        }

        int block = End >> BlockShift;
        if ((End & (BlockSlots - 1)) == 0)
        {
            if (block == _blocks.Length)
            {
                Array.Resize(ref _blocks, Math.Max(4, block * 2));
            }

            _blocks[block] = new T[BlockSlots];
        }

        return End++;
    }

    public void Give(int slot)
    {
        At(slot) = default;
        _free.Push(slot);
    }
}
