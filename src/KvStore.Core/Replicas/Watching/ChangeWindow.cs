namespace KvStore.Core.Replicas.Watching;

/// <summary>
/// The recent changes of one replica of one shard, within bounds of number and bytes: what a watch reads from, and from where it can be resumed. It is the only buffer that watches have: readers keep a place in it
/// (<see cref="WindowCursor"/>), so its memory does not grow with them. Not thread-safe: its owner has a lock.
/// </summary>
public sealed class ChangeWindow
{
    private const int FirstCapacity = 64;

    private readonly int _maxChanges;
    private readonly long _maxBytes;
    private readonly WindowBudget _budget;
    private readonly ToldState _floor = new();
    private readonly ToldState _tail = new();
    private ShardChange?[] _ring = [];
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

    public ShardChange this[long number]
    {
        get
        {
            Invariant.Assert(number >= First && number < Next, "a change is in the window");
            return _ring[(int)(number & (_ring.Length - 1))]!;
        }
    }

    /// <summary>The position of somebody to whom everything was told, encoded.</summary>
    public byte[] TailPosition => _tailPosition ??= _tail.Encode();

    /// <summary>The newest change is to be told: it needs to say where a reader stands behind it.</summary>
    public void MarkNewest() => this[Next - 1].Position ??= TailPosition;

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

        _ring[(int)(Next & (_ring.Length - 1))] = change;
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

    private void DropAll()
    {
        while (Count > 0)
        {
            DropOldest();
        }
    }

    private void DropOldest()
    {
        ShardChange oldest = this[First];
        _ring[(int)(First & (_ring.Length - 1))] = null;
        First++;
        Bytes -= oldest.Bytes;
        _budget.Add(-oldest.Bytes);
        _floor.Advance(oldest);
    }

    /// <summary>Capacities are powers of two, so that a number's place is a mask away.</summary>
    private void Grow()
    {
        var larger = new ShardChange?[Math.Max(FirstCapacity, _ring.Length * 2)];
        for (long number = First; number < Next; number++)
        {
            larger[(int)(number & (larger.Length - 1))] = this[number];
        }

        _ring = larger;
    }
}
