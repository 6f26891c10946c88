using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>A write that this leader has proposed and not yet answered.</summary>
internal struct PendingWrite
{
    public LogIndex Index;
    public Term Term;

    /// <summary>Zero once answered: the entry itself still waits to be applied.</summary>
    public ulong Handle;
    public long DeadlineMs;
    public int Bytes;

    /// <summary>May be answered as soon as it is durable here, before its commit.</summary>
    public bool Early;

    /// <summary>Its caller keeps a session: the answer says where the write stands.</summary>
    public bool InSession;
}

/// <summary>
/// Unanswered proposals in the order of their indexes: a ring, because they are added at one end and leave at the other.
/// </summary>
internal sealed class PendingWrites
{
    private PendingWrite[] _ring = new PendingWrite[64];
    private int _head;

    /// <summary>How many entries at the head were already looked at for an early answer.</summary>
    private int _earlySeen;

    public int Count { get; private set; }

    public void Add(in PendingWrite write)
    {
        if (Count == _ring.Length)
        {
            Grow();
        }

        Invariant.Assert(Count == 0 || At(Count - 1).Index < write.Index, "proposals are added in the order of the log");
        At(Count) = write;
        Count++;
    }

    /// <summary>Finds the next write at or below <paramref name="durable"/> that may be answered early; <see cref="TakeEarly"/> takes it.</summary>
    public bool TryPeekEarly(LogIndex durable, out PendingWrite write)
    {
        for (; _earlySeen < Count && At(_earlySeen).Index <= durable; _earlySeen++)
        {
            if (At(_earlySeen) is { Early: true, Handle: not 0 } candidate)
            {
                write = candidate;
                return true;
            }
        }

        write = default;
        return false;
    }

    /// <summary>Marks the write that was just found as answered.</summary>
    public void TakeEarly() => At(_earlySeen++).Handle = 0;

    /// <summary>Takes the oldest write at or below an index that was applied; its handle is zero when it was answered before.</summary>
    public bool TryTakeApplied(LogIndex applied, out PendingWrite write)
    {
        if (Count == 0 || _ring[_head].Index > applied)
        {
            write = default;
            return false;
        }

        write = _ring[_head];
        RemoveHead();
        return true;
    }

    /// <summary>Takes one write whatever its state: for the end of a leadership.</summary>
    public bool TryTakeAny(out PendingWrite write) => TryTakeApplied(new LogIndex(ulong.MaxValue), out write);

    /// <summary>Marks as answered, and reports, every write whose deadline has passed.</summary>
    public void TakeExpired(long nowMs, List<ulong> handles)
    {
        for (int i = 0; i < Count; i++)
        {
            ref PendingWrite write = ref At(i);
            if (write.Handle != 0 && write.DeadlineMs <= nowMs)
            {
                handles.Add(write.Handle);
                write.Handle = 0;
            }
        }
    }

    private ref PendingWrite At(int offset) => ref _ring[(_head + offset) & (_ring.Length - 1)];

    private void RemoveHead()
    {
        _ring[_head] = default;
        _head = (_head + 1) & (_ring.Length - 1);
        Count--;
        _earlySeen = Math.Max(0, _earlySeen - 1);
    }

    private void Grow()
    {
        var larger = new PendingWrite[_ring.Length * 2];
        for (int i = 0; i < Count; i++)
        {
            larger[i] = At(i);
        }

        _ring = larger;
        _head = 0;
    }
}
