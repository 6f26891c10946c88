using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Watching;

public enum CursorState : byte
{
    /// <summary>The replica has not seen yet what the reader was told elsewhere.</summary>
    Waiting = 1,

    /// <summary>It stands in the window.</summary>
    Reading = 2,

    /// <summary>Changes may be missing between its position and what the window has.</summary>
    Gap = 3,

    /// <summary>The window has passed over it: the reader was too slow.</summary>
    Behind = 4,
}

/// <summary>A change for a reader.</summary>
/// <param name="Change">What to tell.</param>
/// <param name="Position">Where the reader stands behind it, encoded.</param>
/// <param name="Number">Its number in the window.</param>
public readonly record struct WatchItem(ShardChange Change, byte[] Position, long Number);

/// <summary>
/// The place of one reader in a <see cref="ChangeWindow"/>. A position of the log is the same on every replica, so a resume there is exact. Replicas of an open shard tell the same dots in different orders, so a resume asks
/// for the dots that are missing from the position. What is missing lies before the point at which the replica has seen all that the reader had: up to there each key is told once, with the state that it had come to there, because an
/// earlier one might be older than what the reader knows. From there on the reader stands where this replica stood, and every change is told.
/// </summary>
public sealed class WindowCursor
{
    private readonly WatchRange _range;
    private readonly Queue<long> _joined = new();
    private WatchPosition? _wanted;
    private byte[] _position;
    private byte[] _positionWhenJoined = [];
    private ToldState? _told;
    private long _next;

    private WindowCursor(WatchRange range, WatchPosition? wanted, byte[] position)
    {
        _range = range;
        _wanted = wanted;
        _position = position;
    }

    public CursorState State { get; private set; }

    /// <summary>All that there is was read; the cursor moves when <see cref="WakeAt"/> says so.</summary>
    public bool IsAtTail { get; private set; }

    /// <summary>Where the reader stands after what it has read last, encoded.</summary>
    public byte[] Position => _position;

    /// <summary>From the next change on.</summary>
    public static WindowCursor AtTail(ChangeWindow window, WatchRange range) => new(range, null, window.TailPosition) { State = CursorState.Reading, IsAtTail = true, _next = window.Next };

    /// <summary>From a position on, which this or another replica has told.</summary>
    public static WindowCursor From(ChangeWindow window, WatchRange range, WatchPosition position)
    {
        var cursor = new WindowCursor(range, position, position.Encode());
        cursor.Place(window);
        return cursor;
    }

    /// <summary>Waiting: more is known here than before.</summary>
    public void Place(ChangeWindow window)
    {
        if (_wanted is { } wanted)
        {
            State = wanted.IsOpen ? PlaceByDots(window, wanted) : PlaceInLog(window, wanted);
            _wanted = State == CursorState.Waiting ? wanted : null;
        }
    }

    /// <summary>After a gap, or when it makes no sense to wait any longer: from the next change on.</summary>
    public void JumpToTail(ChangeWindow window)
    {
        _wanted = null;
        _told = null;
        _joined.Clear();
        _position = window.TailPosition;
        _next = window.Next;
        IsAtTail = true;
        State = CursorState.Reading;
    }

    /// <summary>Waiting: what the reader was told elsewhere may never come here.</summary>
    public void Abandon()
    {
        if (State == CursorState.Waiting)
        {
            _wanted = null;
            State = CursorState.Gap;
        }
    }

    /// <summary>A change in its range was appended under this number. Returns whether the reader was idle.</summary>
    public bool WakeAt(long number)
    {
        if (!IsAtTail)
        {
            return false;
        }

        IsAtTail = false;
        _next = number;
        return true;
    }

    /// <summary>Nothing in its range has happened up to here: an idle reader's position moves along.</summary>
    public void AdvanceIdle(ChangeWindow window)
    {
        if (IsAtTail)
        {
            _position = window.TailPosition;
            _next = window.Next;
        }
    }

    /// <summary>Reads on, and adds what is to be told.</summary>
    /// <param name="window">The same as ever.</param>
    /// <param name="most">Changes, at most; many more are looked at.</param>
    /// <param name="into">Where they go.</param>
    public void Read(ChangeWindow window, int most, List<WatchItem> into)
    {
        if (State != CursorState.Reading || IsAtTail)
        {
            return;
        }

        if (_next < window.First || (_joined.TryPeek(out long oldest) && oldest < window.First))
        {
            State = CursorState.Behind;
            return;
        }

        int told = ReadJoined(window, most, into);
        for (; told < most && _next < window.Next; _next++)
        {
            ref readonly ChangeMark change = ref window.MarkOf(_next);
            _told?.Advance(change, window.MoreDotsOf(_next), window.ClockOf(_next));
            if (change.IsVisible && _range.Holds(window.KeyOf(_next)))
            {
                _position = window.PositionOf(_next) ?? window.NotePosition(_next, _told?.Encode() ?? PositionInLog(change));
                into.Add(new WatchItem(window[_next], _position, _next));
                told++;
            }
        }

        if (_next == window.Next && _joined.Count == 0)
        {
            IsAtTail = true;
            _told = null;
            _position = window.TailPosition;
        }
    }

    private int ReadJoined(ChangeWindow window, int most, List<WatchItem> into)
    {
        int told = 0;
        while (told < most && _joined.TryDequeue(out long number))
        {
            // Told as a whole or not at all: whoever is interrupted in between hears all of it again.
            _position = _joined.Count == 0 ? _positionWhenJoined : _position;
            into.Add(new WatchItem(window[number], _position, number));
            told++;
        }

        return told;
    }

    /// <summary>A reader at the window's end is told of changes that were marked when they came; others know where they stand by walking, or by the log.</summary>
    private static byte[] PositionInLog(in ChangeMark change)
    {
        Invariant.Assert(change.IsOfLog, "a change of an open period was marked when it came");
        return WatchPosition.Encode(false, change.Place, change.Ordinal, new ShardClock());
    }

    private CursorState PlaceInLog(ChangeWindow window, WatchPosition wanted)
    {
        LogPlace newer = window.Tail.IsOpen ? default : window.Tail.Place;
        for (long number = window.Next - 1; number >= window.First; number--)
        {
            ref readonly ChangeMark change = ref window.MarkOf(number);
            if (!change.IsOfLog)
            {
                continue;
            }

            bool told = change.Kind == ShardChangeKind.Opened ? change.Place.Index <= wanted.Place.Index : wanted.Covers(change.Place, change.Ordinal);
            if (told)
            {
                return StandBehind(number, change.Kind == ShardChangeKind.Opened, change.Place, newer, wanted, window);
            }

            newer = change.Place;
        }

        ToldState floor = window.Floor;
        bool knowsFloor = floor.IsOpen ? floor.Place.Index <= wanted.Place.Index : wanted.Covers(floor.Place, floor.Ordinal);
        return knowsFloor ? StandBehind(window.First - 1, floor.IsOpen, floor.Place, newer, wanted, window) : CursorState.Gap;
    }

    /// <param name="number">Of the last change that the reader knows.</param>
    /// <param name="opened">With it an open period begins.</param>
    /// <param name="place">Its entry.</param>
    /// <param name="newer">The first entry that the reader does not know; none: the window has none.</param>
    private CursorState StandBehind(long number, bool opened, LogPlace place, LogPlace newer, WatchPosition wanted, ChangeWindow window)
    {
        if (opened)
        {
            // The reader has seen the log write after this open period, of whose end nobody has told here yet.
            return CursorState.Waiting;
        }

        bool replaced = place.Index == wanted.Place.Index ? place.Term != wanted.Place.Term : place.Term > wanted.Place.Term;
        bool isTail = number == window.Next - 1;
        if (replaced || (!isTail && newer.Index > wanted.Place.Index && newer.Term < wanted.Place.Term))
        {
            // Another entry stands in the place of what the reader was told: history was cut off, by a forced recovery.
            return CursorState.Gap;
        }

        if (isTail && place.Index < wanted.Place.Index)
        {
            return CursorState.Waiting;
        }

        StandAt(number + 1, window, ToldState.InLog(wanted));
        return CursorState.Reading;
    }

    private CursorState PlaceByDots(ChangeWindow window, WatchPosition wanted)
    {
        LogIndex episode = wanted.Place.Index;
        if (!TryFindPeriod(window, episode, out long from, out ToldState told))
        {
            return window.Tail.Place.Index < episode ? CursorState.Waiting : CursorState.Gap;
        }

        if (!wanted.Seen.Includes(told.Seen))
        {
            return CursorState.Gap;
        }

        if (window.Tail.IsOpen && window.Tail.Place.Index == episode && !window.Tail.Seen.Includes(wanted.Seen))
        {
            return CursorState.Waiting;
        }

        ulong missing = wanted.Seen.CountMissingFrom(told.Seen);
        HashSet<Key> untold = [];
        long number = from;
        for (; missing > 0 && number < window.Next; number++)
        {
            ref readonly ChangeMark change = ref window.MarkOf(number);
            if (change.Kind == ShardChangeKind.Ordered)
            {
                // The log went on from a state without some of what the reader was told. It may come back by a merge.
                return CursorState.Gap;
            }

            Dot[] moreDots = window.MoreDotsOf(number);
            missing -= change.HasDots ? CountNew([change.Dot, .. moreDots], window.KeyOf(number), told, wanted.Seen, untold) : 0;
            told.Advance(change, moreDots, window.ClockOf(number));
        }

        if (missing > 0)
        {
            return CursorState.Waiting;
        }

        Join(window, from, number, untold);
        _positionWhenJoined = _joined.Count > 0 ? told.Encode() : [];
        StandAt(number, window, told);
        return CursorState.Reading;
    }

    private static bool TryFindPeriod(ChangeWindow window, LogIndex episode, out long from, out ToldState told)
    {
        from = window.First;
        told = window.Floor.Clone();
        if (told.IsOpen && told.Place.Index == episode)
        {
            return true;
        }

        for (long number = window.First; number < window.Next; number++)
        {
            ref readonly ChangeMark change = ref window.MarkOf(number);
            if (change.Kind == ShardChangeKind.Opened && change.Place.Index == episode)
            {
                told.Advance(change, [], window.ClockOf(number));
                from = number + 1;
                return true;
            }
        }

        return false;
    }

    /// <summary>How many dots that the reader knows a change brought here. Notes its key, if it brought another one.</summary>
    private ulong CountNew(ReadOnlySpan<Dot> dots, ReadOnlySpan<byte> key, ToldState told, ShardClock known, HashSet<Key> untold)
    {
        ulong count = 0;
        foreach (Dot dot in dots)
        {
            if (!known.Covers(dot))
            {
                if (_range.Holds(key))
                {
                    untold.Add(Key.CopyOf(key));
                }
            }
            else if (!told.Seen.Covers(dot))
            {
                count++;
            }
        }

        return count;
    }

    /// <summary>The last change of each key of which something is to be told, in their order.</summary>
    private void Join(ChangeWindow window, long from, long to, HashSet<Key> untold)
    {
        List<long> last = [];
        for (long number = to - 1; number >= from && untold.Count > 0; number--)
        {
            ShardChangeKind kind = window.MarkOf(number).Kind;
            if (kind < ShardChangeKind.Evicted && untold.Remove(Key.CopyOf(window.KeyOf(number))))
            {
                last.Add(number);
            }
        }

        for (int i = last.Count - 1; i >= 0; i--)
        {
            _joined.Enqueue(last[i]);
        }
    }

    private void StandAt(long number, ChangeWindow window, ToldState? told)
    {
        _next = number;
        IsAtTail = number == window.Next && _joined.Count == 0;
        _told = IsAtTail ? null : told;
        if (IsAtTail)
        {
            _position = window.TailPosition;
        }
    }
}
