using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// The entries that are in memory, in one array, so that any run of them is a slice. Knows nothing of durability, commit or terms of leaders.
/// Invariants: 1. indexes have no gaps: the first entry follows the boundary; 2. terms never decrease, from the boundary on.
/// A slice is valid until the next change of the log.
/// </summary>
internal sealed class RaftLog
{
    private const int InitialCapacity = 16;

    private Entry[] _entries;
    private int _head;
    private int _count;

    public RaftLog(LogIndex boundaryIndex, Term boundaryTerm, ReadOnlySpan<Entry> entries)
    {
        Invariant.Assert(boundaryIndex != LogIndex.Zero || boundaryTerm == Term.Zero);
        BoundaryIndex = boundaryIndex;
        BoundaryTerm = boundaryTerm;
        _entries = new Entry[Math.Max(InitialCapacity, entries.Length)];
        foreach (ref readonly Entry entry in entries)
        {
            Append(entry);
        }
    }

    /// <summary>The last entry that is no longer here: compacted, or the end of a snapshot.</summary>
    public LogIndex BoundaryIndex { get; private set; }

    public Term BoundaryTerm { get; private set; }

    public LogIndex FirstIndex => BoundaryIndex.Next;

    public LogIndex LastIndex => BoundaryIndex + (ulong)_count;

    public Term LastTerm => _count == 0 ? BoundaryTerm : _entries[_head + _count - 1].Term;

    public ref readonly Entry this[LogIndex index]
    {
        get
        {
            Invariant.Assert(index > BoundaryIndex && index <= LastIndex);
            return ref _entries[Offset(index)];
        }
    }

    public TermLookup TermAt(LogIndex index)
    {
        if (index < BoundaryIndex)
        {
            return TermLookup.Compacted;
        }

        if (index == BoundaryIndex)
        {
            return TermLookup.Of(BoundaryTerm);
        }

        return index > LastIndex ? TermLookup.Unavailable : TermLookup.Of(_entries[Offset(index)].Term);
    }

    /// <summary>Whether a log that ends at the given entry is at least as complete as this one (Raft, section 5.4.1).</summary>
    public bool IsAtMost(LogIndex index, Term term) => term > LastTerm || (term == LastTerm && index >= LastIndex);

    public void Append(in Entry entry)
    {
        Invariant.Assert(entry.Index == LastIndex.Next);
        Invariant.Assert(entry.Term >= LastTerm);
        if (_head + _count == _entries.Length)
        {
            MakeRoom();
        }

        _entries[_head + _count] = entry;
        _count++;
    }

    /// <summary>Removes the entry at <paramref name="from"/> and all above.</summary>
    public void TruncateFrom(LogIndex from)
    {
        Invariant.Assert(from > BoundaryIndex && from <= LastIndex);
        int keep = (int)(from - FirstIndex);
        Array.Clear(_entries, _head + keep, _count - keep);
        _count = keep;
    }

    /// <summary>Drops the entry at <paramref name="upTo"/> and all below; it becomes the boundary.</summary>
    public void CompactTo(LogIndex upTo)
    {
        Invariant.Assert(upTo > BoundaryIndex && upTo <= LastIndex);
        int drop = (int)(upTo - BoundaryIndex);
        BoundaryTerm = _entries[_head + drop - 1].Term;
        BoundaryIndex = upTo;
        Array.Clear(_entries, _head, drop);
        _count -= drop;
        _head = _count == 0 ? 0 : _head + drop;
    }

    /// <summary>Forgets everything and starts again behind a snapshot.</summary>
    public void ResetTo(LogIndex index, Term term)
    {
        Array.Clear(_entries, _head, _count);
        _head = 0;
        _count = 0;
        BoundaryIndex = index;
        BoundaryTerm = term;
    }

    /// <summary>The entries from <paramref name="from"/> up to and including <paramref name="last"/>.</summary>
    public ReadOnlyMemory<Entry> Slice(LogIndex from, LogIndex last)
    {
        if (from > last)
        {
            return default;
        }

        Invariant.Assert(from > BoundaryIndex && last <= LastIndex);
        return _entries.AsMemory(Offset(from), (int)(last - from) + 1);
    }

    /// <summary>As <see cref="Slice"/>, but ends before the entry that would pass <paramref name="maxBytes"/>; at least one entry.</summary>
    public ReadOnlyMemory<Entry> SliceOfBytes(LogIndex from, LogIndex last, int maxBytes, out int bytes)
    {
        ReadOnlyMemory<Entry> all = Slice(from, last);
        ReadOnlySpan<Entry> span = all.Span;
        bytes = 0;
        for (int i = 0; i < span.Length; i++)
        {
            int size = span[i].Size;
            if (i > 0 && bytes + size > maxBytes)
            {
                return all[..i];
            }

            bytes += size;
        }

        return all;
    }

    /// <summary>
    /// The highest index at or below <paramref name="index"/> whose term is at or below <paramref name="term"/>: nothing between can match a log that has
    /// <paramref name="term"/> at <paramref name="index"/>. Ends at the boundary when that is passed. Lets logs that diverge by whole terms meet in one exchange per term.
    /// </summary>
    public LogIndex LastIndexNotAboveTerm(LogIndex index, Term term)
    {
        LogIndex candidate = LogIndex.Min(index, LastIndex);
        while (candidate > BoundaryIndex && _entries[Offset(candidate)].Term > term)
        {
            candidate = candidate.Previous;
        }

        return candidate;
    }

    private int Offset(LogIndex index) => _head + (int)(index.Value - BoundaryIndex.Value) - 1;

    private void MakeRoom()
    {
        Entry[] target = _head >= _entries.Length / 2 ? _entries : new Entry[_entries.Length * 2];
        Array.Copy(_entries, _head, target, 0, _count);
        if (ReferenceEquals(target, _entries))
        {
            Array.Clear(target, _count, _head);
        }

        _entries = target;
        _head = 0;
    }
}
