using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Watching;

/// <summary>
/// The recent changes of one replica of one shard, within bounds of number and bytes: what a watch reads from, and from where it can be resumed. It is the only buffer that watches have: readers keep a place in it
/// (<see cref="WindowCursor"/>), so its memory does not grow with them. Not thread-safe: its owner has a lock.
/// </summary>
/// <remarks>
/// Every write is kept here for a while, mostly for nobody. So it is kept as a mark without references and as bytes in a few arrays: kept as objects, the changes were most of what each garbage collection had to
/// look at and move, and most of the pauses that writers saw (docs/performance.md).
/// </remarks>
public sealed class ChangeWindow
{
    private const int FirstCapacity = 64;

    /// <summary>Changes that were read lately, whole: many readers of one key ask for the same ones.</summary>
    private const int Remembered = 64;

    private readonly int _maxChanges;
    private readonly long _maxBytes;
    private readonly WindowBudget _budget;
    private readonly ToldState _floor = new();
    private readonly ToldState _tail = new();
    private readonly ByteQueue _bytes = new();

    /// <summary>What few changes have: more than one dot, a clock.</summary>
    private readonly Dictionary<long, (Dot[] MoreDots, ShardClock? Clock)> _extras = [];

    /// <summary>Positions that somebody has needed.</summary>
    private readonly Dictionary<long, byte[]> _positions = [];
    private (long Number, ShardChange Change)[] _remembered = [];
    private Slot[] _ring = [];
    private byte[]? _tailPosition;

    /// <param name="maxChanges">1 or more.</param>
    /// <param name="maxBytes">Keys, records and what holds them.</param>
    /// <param name="budget">Of all windows of the node.</param>
    public ChangeWindow(int maxChanges, long maxBytes, WindowBudget budget)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxChanges);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(maxBytes);
        _maxChanges = maxChanges;
        _maxBytes = maxBytes;
        _budget = budget;
    }

    /// <summary>The replica has said where it stands: before that nothing can be watched.</summary>
    public bool IsReady { get; private set; }

    /// <summary>The number of the oldest change that is kept.</summary>
    public long First { get; private set; }

    /// <summary>The number that the next change will have. Numbers count from zero at the replica's start.</summary>
    public long Next { get; private set; }

    public long Bytes { get; private set; }

    public int Count => (int)(Next - First);

    /// <summary>What was told before the oldest change that is kept.</summary>
    internal ToldState Floor => _floor;

    /// <summary>What was told with the newest.</summary>
    internal ToldState Tail => _tail;

    /// <summary>The whole change: a copy, good for as long as anybody likes.</summary>
    public ShardChange this[long number]
    {
        get
        {
            ref readonly Slot slot = ref SlotOf(number);
            if (_remembered.Length == 0)
            {
                _remembered = new (long, ShardChange)[Remembered];
            }

            ref (long Number, ShardChange? Change) lately = ref _remembered[(int)(number & (Remembered - 1))]!;
            if (lately.Number != number || lately.Change is null || lately.Change.Position is null)
            {
                lately = (number, Unpack(number, slot));
            }

            return lately.Change!;
        }
    }

    /// <summary>The position of somebody to whom everything was told, encoded.</summary>
    public byte[] TailPosition => _tailPosition ??= _tail.Encode();

    /// <summary>The newest change is to be told: it needs to say where a reader stands behind it.</summary>
    public void MarkNewest() => _positions.TryAdd(Next - 1, TailPosition);

    public void Append(ShardChange change)
    {
        if (change.Kind == ShardChangeKind.Reset)
        {
            IsReady = true;
            DropAll();
            _floor.Advance(change);
            _tail.Advance(change);
            _tailPosition = null;
            First = ++Next;
            return;
        }

        if (Count == _ring.Length)
        {
            Grow();
        }

        (int array, int offset) = _bytes.Append(change.Key.Bytes.Span, change.Record.Span);
        _ring[(int)(Next & (_ring.Length - 1))] = new Slot(change.Mark, array, offset, change.Key.Bytes.Length, change.Record.Length, change.Bytes);
        if (change.MoreDots.Length > 0 || change.Clock is not null)
        {
            _extras.Add(Next, (change.MoreDots, change.Clock));
        }

        Next++;
        Bytes += change.Bytes;
        _budget.Add(change.Bytes);
        _tail.Advance(change);
        _tailPosition = null;
        while (Count > 1 && (Count > _maxChanges || Bytes > _maxBytes || _budget.IsExceeded))
        {
            DropOldest();
        }
    }

    /// <summary>The replica is closed.</summary>
    public void Close()
    {
        DropAll();
        IsReady = false;
    }

    internal ref readonly ChangeMark MarkOf(long number) => ref SlotOf(number).Mark;

    /// <summary>Empty where there is none. Good until the window changes.</summary>
    internal ReadOnlySpan<byte> KeyOf(long number)
    {
        ref readonly Slot slot = ref SlotOf(number);
        return _bytes.Read(slot.Array, slot.Offset, slot.KeyLength);
    }

    internal Dot[] MoreDotsOf(long number) => _extras.Count > 0 && _extras.TryGetValue(number, out (Dot[] MoreDots, ShardClock? Clock) extra) ? extra.MoreDots : [];

    internal ShardClock? ClockOf(long number) => _extras.Count > 0 && _extras.TryGetValue(number, out (Dot[] MoreDots, ShardClock? Clock) extra) ? extra.Clock : null;

    /// <summary>Where a reader stands behind the change, encoded; null: nobody has needed it.</summary>
    internal byte[]? PositionOf(long number) => _positions.GetValueOrDefault(number);

    internal byte[] NotePosition(long number, byte[] position)
    {
        _positions.Add(number, position);
        return position;
    }

    private ref readonly Slot SlotOf(long number)
    {
        Invariant.Assert(number >= First && number < Next, "a change is in the window");
        return ref _ring[(int)(number & (_ring.Length - 1))];
    }

    private ShardChange Unpack(long number, in Slot slot)
    {
        byte[] bytes = _bytes.Read(slot.Array, slot.Offset, slot.KeyLength + slot.RecordLength).ToArray();
        return new ShardChange
        {
            Kind = slot.Mark.Kind,
            Key = slot.KeyLength > 0 ? new Key(bytes.AsMemory(0, slot.KeyLength)) : default,
            Record = bytes.AsMemory(slot.KeyLength),
            Epoch = slot.Mark.Epoch,
            Place = slot.Mark.Place,
            Ordinal = slot.Mark.Ordinal,
            Dot = slot.Mark.Dot,
            MoreDots = MoreDotsOf(number),
            Clock = ClockOf(number),
            IsOpen = slot.Mark.IsOpen,
            Position = PositionOf(number),
        };
    }

    private void DropAll()
    {
        while (Count > 0)
        {
            DropOldest();
        }

        _bytes.Clear();
        _remembered = [];
    }

    private void DropOldest()
    {
        Slot oldest = SlotOf(First);
        _floor.Advance(oldest.Mark, MoreDotsOf(First), ClockOf(First));
        _extras.Remove(First);
        _positions.Remove(First);
        First++;
        Bytes -= oldest.Bytes;
        _budget.Add(-oldest.Bytes);
        if (Count > 0)
        {
            _bytes.ReleaseBefore(SlotOf(First).Array);
        }
    }

    /// <summary>Capacities are powers of two, so that a number's place is a mask away.</summary>
    private void Grow()
    {
        var larger = new Slot[Math.Max(FirstCapacity, _ring.Length * 2)];
        for (long number = First; number < Next; number++)
        {
            larger[(int)(number & (larger.Length - 1))] = SlotOf(number);
        }

        _ring = larger;
    }

    /// <summary>Without references, see the remarks above.</summary>
    private readonly record struct Slot(ChangeMark Mark, int Array, int Offset, int KeyLength, int RecordLength, int Bytes)
    {
        public readonly ChangeMark Mark = Mark;
    }
}
