using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// The records of a shard that lives in memory only, within a bound of bytes. What goes when there is no room is chosen by SIEVE (NSDI 2024): a hand walks from the oldest to the newest, spares what was used since it last came by, and
/// takes the first that wasn't. A hit costs one flag. One loop owns it.
/// </summary>
internal sealed class MemoryRecords(long maxBytes)
{
    /// <summary>What an entry takes beside its key and record: the entry, its places in the table and in the order of keys. An estimate from the sizes of these objects, rounded up.</summary>
    private const int OverheadBytes = 256;

    private readonly Dictionary<Key, Entry> _entries = new(KeyComparer.Instance);
    private readonly SortedSet<Key> _order = [];
    private readonly SortedSet<Key> _conflicts = [];
    private Entry? _newest;
    private Entry? _oldest;
    private Entry? _hand;

    public long MaxBytes => maxBytes;

    public long Bytes { get; private set; }

    public int Count => _entries.Count;

    /// <summary>Keys with more than one value.</summary>
    public int ConflictCount => _conflicts.Count;

    public bool IsFull => Bytes > maxBytes;

    public bool TryGet(ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record)
    {
        if (_entries.GetAlternateLookup<ReadOnlySpan<byte>>().TryGetValue(key, out Entry? entry))
        {
            entry.Used = true;
            record = entry.Record;
            return true;
        }

        record = default;
        return false;
    }

    /// <summary>The key is copied; the record is kept as it is.</summary>
    public void Put(Key key, ReadOnlyMemory<byte> record, bool inConflict)
    {
        if (!_entries.TryGetValue(key, out Entry? entry))
        {
            entry = new Entry(Key.CopyOf(key.Span)) { Older = _newest };
            _entries.Add(entry.Key, entry);
            _order.Add(entry.Key);
            if (_newest is not null)
            {
                _newest.Newer = entry;
            }

            _newest = entry;
            _oldest ??= entry;
            Bytes += OverheadBytes + key.Span.Length;
        }

        Bytes += record.Length - entry.Record.Length;
        entry.Record = record;
        if (inConflict)
        {
            _conflicts.Add(entry.Key);
        }
        else if (_conflicts.Count > 0)
        {
            _conflicts.Remove(entry.Key);
        }
    }

    public bool Remove(Key key)
    {
        if (!_entries.Remove(key, out Entry? entry))
        {
            return false;
        }

        Unlink(entry);
        return true;
    }

    /// <summary>Takes the next one that can go, but never the given one.</summary>
    /// <returns>False: there is none.</returns>
    public bool TryEvict(Key spared, out Key key, out ReadOnlyMemory<byte> record)
    {
        (key, record) = (default, default);
        for (int looked = 0; looked <= 2 * _entries.Count; looked++)
        {
            Entry? candidate = _hand ?? _oldest;
            if (candidate is null)
            {
                return false;
            }

            _hand = candidate.Newer;
            if (candidate.Used || candidate.Key == spared)
            {
                candidate.Used = false;
                continue;
            }

            _entries.Remove(candidate.Key);
            Unlink(candidate);
            (key, record) = (candidate.Key, candidate.Record);
            return true;
        }

        return false;
    }

    /// <summary>A page of records in key order, as it stands. The records of the conflicts' space are those of the keys.</summary>
    public ScanPage Scan(RecordSpace space, ReadOnlyMemory<byte> prefix, ReadOnlyMemory<byte> after, int maxRecords, int maxBytes)
    {
        var records = new List<ScannedRecord>();
        int bytes = 0;
        foreach (Key key in From(space == RecordSpace.Conflicts ? _conflicts : _order, prefix, after))
        {
            if (!key.Span.StartsWith(prefix.Span))
            {
                break;
            }

            if (records.Count >= maxRecords || bytes >= maxBytes)
            {
                return new ScanPage(0, records, More: true);
            }

            ReadOnlyMemory<byte> record = _entries[key].Record;
            record = space == RecordSpace.Conflicts ? ConflictIndex.RecordOf(DottedObject.PeekSiblings(record)) : record;
            records.Add(new ScannedRecord(space, key.Bytes, record));
            bytes += key.Span.Length + record.Length;
        }

        return new ScanPage(0, records, More: false);
    }

    private static IEnumerable<Key> From(SortedSet<Key> keys, ReadOnlyMemory<byte> prefix, ReadOnlyMemory<byte> after)
    {
        ReadOnlyMemory<byte> lower = after.Span.SequenceCompareTo(prefix.Span) >= 0 ? after : prefix;
        if (lower.IsEmpty || keys.Count == 0)
        {
            return keys;
        }

        var from = new Key(lower);
        return keys.Max.CompareTo(from) < 0 ? [] : keys.GetViewBetween(from, keys.Max).Where(key => after.IsEmpty || key.Span.SequenceCompareTo(after.Span) > 0);
    }

    private void Unlink(Entry entry)
    {
        _order.Remove(entry.Key);
        _conflicts.Remove(entry.Key);
        Bytes -= OverheadBytes + entry.Key.Span.Length + entry.Record.Length;
        if (ReferenceEquals(_hand, entry))
        {
            _hand = entry.Newer;
        }

        if (entry.Older is null)
        {
            _oldest = entry.Newer;
        }
        else
        {
            entry.Older.Newer = entry.Newer;
        }

        if (entry.Newer is null)
        {
            _newest = entry.Older;
        }
        else
        {
            entry.Newer.Older = entry.Older;
        }
    }

    /// <summary>Finds a key by its bytes, wherever they are.</summary>
    private sealed class KeyComparer : IEqualityComparer<Key>, IAlternateEqualityComparer<ReadOnlySpan<byte>, Key>
    {
        public static readonly KeyComparer Instance = new();

        public bool Equals(Key x, Key y) => x == y;

        public bool Equals(ReadOnlySpan<byte> alternate, Key other) => alternate.SequenceEqual(other.Span);

        public int GetHashCode(Key key) => key.GetHashCode();

        public int GetHashCode(ReadOnlySpan<byte> alternate) => KeyHash.Of(alternate);

        public Key Create(ReadOnlySpan<byte> alternate) => Key.CopyOf(alternate);
    }

    private sealed class Entry(Key key)
    {
        public Key Key { get; } = key;

        public ReadOnlyMemory<byte> Record { get; set; }

        public bool Used { get; set; }

        public Entry? Older { get; set; }

        public Entry? Newer { get; set; }
    }
}
