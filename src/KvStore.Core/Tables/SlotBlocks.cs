using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace KvStore.Core.Tables;

/// <summary>Slots by number, in small blocks, so that growing copies none but those of the first block, which begins small. What is given back is given out again, the last one first.</summary>
public sealed class SlotBlocks<T>
    where T : struct
{
    private const int BlockShift = 7;
    private const int BlockSlots = 1 << BlockShift;
    private const int FirstSlots = 8;

    private readonly Stack<int> _free = new();
    private T[][] _blocks = [];

    /// <summary>One more than the highest number that was ever given out.</summary>
    public int End { get; private set; }

    /// <summary>
    /// The slot of a number that <see cref="Take"/> has given out; not to be kept over the next one. A block is as long as the numbers in it need: to ask one for its length would cost a line of memory that nobody else needs.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref T At(int slot)
    {
        Debug.Assert((uint)slot < (uint)End);
        return ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(_blocks[slot >> BlockShift]), slot & (BlockSlots - 1));
    }

    /// <summary>A slot with nothing in it.</summary>
    public int Take()
    {
        if (_free.TryPop(out int free))
        {
            return free;
        }

        if ((End & (BlockSlots - 1)) == 0)
        {
            AddBlock(End >> BlockShift);
        }
        else if (End < BlockSlots && End == _blocks[0].Length)
        {
            Array.Resize(ref _blocks[0], End * 2);
        }

        return End++;
    }

    public void Give(int slot)
    {
        At(slot) = default;
        _free.Push(slot);
    }

    private void AddBlock(int block)
    {
        if (block == _blocks.Length)
        {
            Array.Resize(ref _blocks, Math.Max(1, block * 2));
        }

        _blocks[block] = new T[block == 0 ? FirstSlots : BlockSlots];
    }
}
