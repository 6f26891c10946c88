using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>
/// What this replica, as a leader, has acknowledged before its commit: the lag that the keyspace's <see cref="MaxLag"/> bounds, and, when entries are replaced, which of them a client was told to be
/// done. It outlives the leadership, until the entries are committed or gone.
/// </summary>
internal sealed class EarlyAcknowledgements(MaxLag limit)
{
    /// <summary>Settled entries are cut off the front of the list in pieces of at least this many.</summary>
    private const int CutAfter = 1_024;

    private readonly List<Acknowledged> _open = [];
    private int _head;

    /// <summary>May be altered at any time; it binds from the next acknowledgement on.</summary>
    public MaxLag Limit { get; set; } = limit;

    /// <summary>Acknowledged and not known to be committed.</summary>
    public int Count => _open.Count - _head;

    /// <summary>Bytes of log entries that are acknowledged and not known to be committed.</summary>
    public long Bytes { get; private set; }

    /// <summary>Takes note of an acknowledgement, unless it would exceed the bound.</summary>
    /// <param name="nowMs">Monotonic.</param>
    /// <param name="wallMs">Unix milliseconds, for whoever reads the journal.</param>
    public bool TryAdd(LogIndex index, Term term, int bytes, long nowMs, ulong wallMs)
    {
        if (Bytes + bytes > Limit.Bytes)
        {
            return false;
        }

        // What an earlier leadership has left here must be settled first: the indexes of the list only grow.
        if (Count > 0 && (nowMs - _open[_head].AtMs >= Limit.TimeMs || _open[_head].Term != term))
        {
            return false;
        }

        Invariant.Assert(Count == 0 || _open[^1].Index < index, "writes are acknowledged in the order of the log");

        _open.Add(new Acknowledged(index, term, bytes, nowMs, wallMs));
        Bytes += bytes;
        return true;
    }

    /// <summary>Everything up to here is committed. Called when all entries that were replaced before have been looked at.</summary>
    public void Settle(LogIndex commit)
    {
        while (_head < _open.Count && _open[_head].Index <= commit)
        {
            Bytes -= _open[_head].Bytes;
            _head++;
        }

        if (_head == _open.Count)
        {
            _open.Clear();
            _head = 0;
        }
        else if (_head >= CutAfter && _head > _open.Count / 2)
        {
            _open.RemoveRange(0, _head);
            _head = 0;
        }
    }

    /// <summary>Whether this entry was acknowledged, and when.</summary>
    public bool Contains(in Entry entry, out ulong wallMs)
    {
        wallMs = 0;
        int low = _head;
        int high = _open.Count;
        while (low < high)
        {
            int middle = low + ((high - low) / 2);
            if (_open[middle].Index < entry.Index)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        if (low == _open.Count || _open[low].Index != entry.Index || _open[low].Term != entry.Term)
        {
            return false;
        }

        wallMs = _open[low].WallMs;
        return true;
    }

    /// <summary>The entries from here on are gone from the log.</summary>
    public void Forget(LogIndex from)
    {
        while (Count > 0 && _open[^1].Index >= from)
        {
            Bytes -= _open[^1].Bytes;
            _open.RemoveAt(_open.Count - 1);
        }
    }

    private readonly record struct Acknowledged(LogIndex Index, Term Term, int Bytes, long AtMs, ulong WallMs);
}
