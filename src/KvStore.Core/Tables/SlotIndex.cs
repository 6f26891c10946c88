using System.Runtime.CompilerServices;

namespace KvStore.Core.Tables;

/// <summary>
/// Finds the slots of a table by the hashes of their keys; keys and values stay in the owner's slots. What a lookup costs in a large table are lines of memory that no cache holds: here one, where a
/// <see cref="Dictionary{TKey,TValue}"/> needs two before it comes to the key.
/// </summary>
/// <remarks>
/// Open addressing with linear probing and deletion by shifting back (Knuth, The Art of Computer Programming 3, 6.4, algorithms L and R), over cells of a hash and a slot, at most half full; it never shrinks. Places are the lowest bits of a
/// hash, so those must be well mixed, but for the last two: numbers that come and go in a row may share a line of memory by them (<see cref="HashOf"/>). A longer row would be walked through at each removal.
/// </remarks>
public sealed class SlotIndex
{
    private const int InitialCells = 16;

    private Cell[] _cells = new Cell[InitialCells];

    public int Count { get; private set; }

    /// <summary>A hash of a number that counts up, of somebody: of four in a row, the four stand in a row.</summary>
    /// <param name="owner">Who counts.</param>
    /// <param name="number">The number.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int HashOf(ulong owner, ulong number)
    {
        ulong mixed = ((number >> 2) ^ ulong.RotateLeft(owner, 32)) * 0x9E37_79B9_7F4A_7C15;
        mixed = (mixed ^ (mixed >> 32)) * 0xD6E8_FEB8_6659_FD93;
        return (int)(((mixed >> 32) & ~3UL) | (number & 3));
    }

    /// <summary>
    /// The slots that were added under this hash: all of them, and no others. Which one has the key is the caller's to tell. Nothing may be added or removed before the last was looked at.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Probe Of(int hash) => new(_cells, hash);

    /// <summary>
    /// The slot that <see cref="Of"/> probably finds first, or -1, without looking further than the first place. Asked of many keys one after another, before each is looked up: the processor then fetches their lines at the same time.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Guess(int hash) => _cells[hash & (_cells.Length - 1)].SlotAndOne - 1;

    /// <param name="hash">Of the slot's key.</param>
    /// <param name="slot">Zero or more; not under this hash yet.</param>
    public void Add(int hash, int slot)
    {
        if ((Count + 1) * 2L > _cells.Length)
        {
            Grow();
        }

        Place(_cells, new Cell(hash, slot + 1));
        Count++;
    }

    /// <returns>False if the slot isn't there under this hash.</returns>
    public bool Remove(int hash, int slot)
    {
        Cell[] cells = _cells;
        int mask = cells.Length - 1;
        int hole = PlaceOf(hash, slot);
        if (hole < 0)
        {
            return false;
        }

        for (int next = (hole + 1) & mask; cells[next].SlotAndOne != 0; next = (next + 1) & mask)
        {
            // Whatever could stand in the hole moves there: its own place is not behind the hole.
            if (((next - cells[next].Hash) & mask) >= ((next - hole) & mask))
            {
                cells[hole] = cells[next];
                hole = next;
            }
        }

        cells[hole] = default;
        Count--;
        return true;
    }

    /// <summary>Another slot is the one to find for the same key from now on.</summary>
    public void Replace(int hash, int slot, int by)
    {
        int place = PlaceOf(hash, slot);
        Invariant.Assert(place >= 0);
        _cells[place] = new Cell(hash, by + 1);
    }

    private int PlaceOf(int hash, int slot)
    {
        Cell[] cells = _cells;
        int at = hash & (cells.Length - 1);
        while (cells[at].Hash != hash || cells[at].SlotAndOne != slot + 1)
        {
            if (cells[at].SlotAndOne == 0)
            {
                return -1;
            }

            at = (at + 1) & (cells.Length - 1);
        }

        return at;
    }

    private static void Place(Cell[] cells, Cell cell)
    {
        int mask = cells.Length - 1;
        int at = cell.Hash & mask;
        while (cells[at].SlotAndOne != 0)
        {
            at = (at + 1) & mask;
        }

        cells[at] = cell;
    }

    private void Grow()
    {
        Cell[] larger = new Cell[_cells.Length * 2];
        foreach (Cell cell in _cells)
        {
            if (cell.SlotAndOne != 0)
            {
                Place(larger, cell);
            }
        }

        _cells = larger;
    }

    /// <summary>Walks over the slots of one hash.</summary>
    public ref struct Probe
    {
        private readonly Cell[] _cells;
        private readonly int _hash;
        private int _at;

        internal Probe(Cell[] cells, int hash)
        {
            _cells = cells;
            _hash = hash;
            _at = hash;
        }

        /// <returns>False: there is no further one.</returns>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public bool Next(out int slot)
        {
            while (true)
            {
                Cell cell = _cells[_at++ & (_cells.Length - 1)];
                if (cell.SlotAndOne == 0 || cell.Hash == _hash)
                {
                    slot = cell.SlotAndOne - 1;
                    return slot >= 0;
                }
            }
        }
    }

    /// <summary>One cell: a slot's number and one, so that zero means free.</summary>
    internal readonly struct Cell(int hash, int slotAndOne)
    {
        public readonly int Hash = hash;
        public readonly int SlotAndOne = slotAndOne;
    }
}
