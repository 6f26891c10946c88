using KvStore.Contracts.V1;
using KvStore.Core.Replicas.Watching;

namespace KvStore.Node.Watching;

/// <summary>One reader of one shard, in the hands of its <see cref="WatchStream"/>. Who wakes it says so through the stream; everything else happens on the stream's own task.</summary>
internal sealed class ShardWatcher(WatchStream stream, ShardFeed feed, WatchRange range, bool wantsValues, bool beginsWithGap)
{
    /// <summary>Changes of one look: few enough that other readers of the shard get their turn.</summary>
    private const int MostAtOnce = 128;

    private readonly List<WatchItem> _items = [];
    private InitialValues? _values;
    private volatile Refusal? _unfit;
    private volatile bool _replaced;
    private volatile bool _progressDue;
    private bool _started;
    private bool _gapDue = beginsWithGap;
    private int _queued;

    public WatchRange Range => range;

    public ShardFeed Feed => feed;

    public WatchPlan Plan => stream.Plan;

    /// <summary>Under the feed's gate.</summary>
    public WindowCursor Cursor { get; set; } = null!;

    /// <summary>The replica's data has become another, by a snapshot or a copy: what came in between is not known here. Another replica may know.</summary>
    public bool Replaced
    {
        set => _replaced = value;
    }

    /// <summary>The replica is not fit to be watched any more, and why.</summary>
    public Refusal? Unfit
    {
        set => _unfit = value;
    }

    /// <summary>It has waited for so long for what it was told elsewhere that it is a gap. Under the feed's gate.</summary>
    public long WaitsSinceMs { get; set; }

    /// <summary>It is time to say that nothing has happened.</summary>
    public bool ProgressDue
    {
        set => _progressDue = value;
    }

    public void Wake()
    {
        if (Interlocked.Exchange(ref _queued, 1) == 0)
        {
            stream.Wake(this);
        }
    }

    /// <summary>Begins: with what the keys hold, if that is wanted and no position says from where on changes are.</summary>
    public void Start(bool hasPosition)
    {
        if (wantsValues && !hasPosition)
        {
            _values = new InitialValues(this);
        }

        Wake();
    }

    /// <summary>Adds what is to be told. False: that was the last.</summary>
    public bool Fill(List<WatchEvent> events)
    {
        Volatile.Write(ref _queued, 0);
        Interlocked.MemoryBarrier();
        if (_unfit is { } refusal)
        {
            return End(events, refusal.Code, refusal.Reason);
        }

        if (_replaced)
        {
            return End(events, Code.Recovering, "This replica's data was replaced by a snapshot or a copy; another replica may know what came in between.");
        }

        if (_values is { } values && !values.TryAdvance(events))
        {
            return true;
        }

        Look look = Read(events);
        Tell(events);
        switch (look.State)
        {
            case CursorState.Behind:
                return End(events, Code.WatchBehind, "The reader was slower than the changes: the window of this node has passed over it. Resume from the position; what is missing is told as a gap.");
            case CursorState.Gap:
                events.Add(WatchEvents.Mark(WatchEventKind.Gap, feed.Shard.Number, wantsValues ? [] : look.Position));
                _values = wantsValues ? new InitialValues(this) : null;
                return true;
            case CursorState.Reading when !look.IsAtTail:
                Wake();
                return true;
            default:
                break;
        }

        if (_values is { } scanning)
        {
            scanning.OnDrained(events, look.Position);
            _values = scanning.IsOverAt(look.Tail) ? null : scanning;
        }

        return true;
    }

    /// <summary>Asks the replica, on its loop, for a page of what it holds.</summary>
    public void RequestPage(ReadOnlyMemory<byte> after, int most, Action<WatchPage> then) => stream.Hub.RequestPage(feed.Shard, range.Bytes, after, most, then);

    /// <summary>Reads on in the window; says where the reader stands if that is due and nothing else is to be said.</summary>
    private Look Read(List<WatchEvent> events)
    {
        lock (feed.Gate)
        {
            bool progress = _progressDue || !_started;
            _progressDue = false;
            Cursor.Read(feed.Window, MostAtOnce, _items);
            if (progress && _items.Count == 0)
            {
                Cursor.AdvanceIdle(feed.Window);
            }

            CursorState state = _gapDue ? CursorState.Gap : Cursor.State;
            _gapDue = false;
            if (state == CursorState.Gap)
            {
                Cursor.JumpToTail(feed.Window);
            }

            if (progress && _items.Count == 0 && _values is null && state == CursorState.Reading)
            {
                events.Add(WatchEvents.Mark(WatchEventKind.Progress, feed.Shard.Number, Cursor.Position));
            }

            _started |= state != CursorState.Waiting;
            return new Look(state, Cursor.IsAtTail, Cursor.Position, feed.Window.Next);
        }
    }

    private void Tell(List<WatchEvent> events)
    {
        foreach (WatchItem item in _items)
        {
            if (_values is null)
            {
                events.Add(WatchEvents.Of(item.Change, feed.Shard.Number, item.Position, stream.Plan));
            }
            else if (_values.Passes(item))
            {
                events.Add(WatchEvents.Of(item.Change, feed.Shard.Number, _values.IsWhole ? item.Position : [], stream.Plan));
            }
        }

        _items.Clear();
    }

    private bool End(List<WatchEvent> events, Code code, string reason)
    {
        WatchMetrics.OnEnded(code);
        byte[] position;
        lock (feed.Gate)
        {
            position = _values is null ? Cursor.Position : [];
        }

        WatchEvent ended = WatchEvents.Mark(WatchEventKind.Ended, feed.Shard.Number, position);
        (ended.Code, ended.Reason) = (code, reason);
        events.Add(ended);
        return false;
    }

    /// <summary>What a look into the window came to.</summary>
    private readonly record struct Look(CursorState State, bool IsAtTail, byte[] Position, long Tail);
}
