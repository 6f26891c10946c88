using KvStore.Core.Identity;
using KvStore.Core.Tables;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// The records of a shard that lives in memory only, within a bound of bytes. What goes when there is no room is chosen by SIEVE (NSDI 2024): a hand walks from the oldest to the newest, spares what was used since it last came by, and
/// takes the first that wasn't. A hit costs one flag. One loop owns it.
/// </summary>
internal sealed class MemoryRecords(long maxBytes)
{
    /// <summary>What an entry takes beside its key and record: the entry, its places in the table and in the order of keys. An estimate from the sizes of these, rounded up.</summary>
    private const int OverheadBytes = 256;

    private const int None = -1;

    private readonly SlotIndex _index = new();
    private readonly SlotBlocks<Entry> _entries = new();
    private readonly SortedSet<Key> _order = [];
    private readonly SortedSet<Key> _conflicts = [];
    private int _newest = None;
    private int _oldest = None;
    private int _hand = None;

    public long MaxBytes => maxBytes;

    public long Bytes { get; private set; }

    public int Count => _index.Count;

    /// <summary>Keys with more than one value.</summary>
    public int ConflictCount => _conflicts.Count;

    public bool IsFull => Bytes > maxBytes;

    public bool TryGet(ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record)
    {
        int slot = Find(key, KeyHash.Of(key));
        if (slot == None)
        {
            record = default;
            return false;
        }

        ref Entry entry = ref _entries.At(slot);
        entry.Used = true;
        record = entry.Record;
        return true;
    }

    /// <inheritdoc cref="IReplicaStorage.Warm"/>
    public int Warm(int keyHash, WarmStep step)
    {
        int slot = _index.Guess(keyHash);
        if (slot == None || step == WarmStep.Index)
        {
            return slot;
        }

        ref Entry entry = ref _entries.At(slot);
        return step == WarmStep.Slot ? entry.Hash : entry.Key.Bytes.IsEmpty ? 0 : entry.Key.Span[0] + (entry.Record.IsEmpty ? 0 : entry.Record.Span[0]);
    }

    /// <summary>The key is copied; the record is kept as it is.</summary>
    public void Put(Key key, ReadOnlyMemory<byte> record, bool inConflict)
    {
        int hash = key.GetHashCode();
        int slot = Find(key.Span, hash);
        if (slot == None)
        {
            slot = Add(Key.CopyOf(key.Span), hash);
        }

        ref Entry entry = ref _entries.At(slot);
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
        int slot = Find(key.Span, key.GetHashCode());
        if (slot == None)
        {
            return false;
        }

        Remove(slot);
        return true;
    }

    /// <summary>Takes the next one that can go, but never the given one.</summary>
    /// <returns>False: there is none.</returns>
    public bool TryEvict(Key spared, out Key key, out ReadOnlyMemory<byte> record)
    {
        (key, record) = (default, default);
        for (int looked = 0; looked <= 2 * Count; looked++)
        {
            int slot = _hand != None ? _hand : _oldest;
            if (slot == None)
            {
                return false;
            }

            ref Entry candidate = ref _entries.At(slot);
            _hand = candidate.Newer;
            if (candidate.Used || candidate.Key == spared)
            {
                candidate.Used = false;
                continue;
            }

            (key, record) = (candidate.Key, candidate.Record);
            Remove(slot);
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

            ReadOnlyMemory<byte> record = _entries.At(Find(key.Span, key.GetHashCode())).Record;
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

    private int Find(ReadOnlySpan<byte> key, int hash)
    {
        for (SlotIndex.Probe probe = _index.Of(hash); probe.Next(out int slot);)
        {
            if (_entries.At(slot).Key.Span.SequenceEqual(key))
            {
                return slot;
            }
        }

        return None;
    }

    private int Add(Key key, int hash)
    {
        int slot = _entries.Take();
        _entries.At(slot) = new Entry { Key = key, Hash = hash, Older = _newest, Newer = None };
        _index.Add(hash, slot);
        _order.Add(key);
        if (_newest != None)
        {
            _entries.At(_newest).Newer = slot;
        }
        else
        {
            _oldest = slot;
        }

        _newest = slot;
        Bytes += OverheadBytes + key.Span.Length;
        return slot;
    }

    private void Remove(int slot)
    {
        ref Entry entry = ref _entries.At(slot);
        _index.Remove(entry.Hash, slot);
        _order.Remove(entry.Key);
        _conflicts.Remove(entry.Key);
        Bytes -= OverheadBytes + entry.Key.Span.Length + entry.Record.Length;
        if (_hand == slot)
        {
            _hand = entry.Newer;
        }

        if (entry.Older == None)
        {
            _oldest = entry.Newer;
        }
        else
        {
            _entries.At(entry.Older).Newer = entry.Newer;
        }

        if (entry.Newer == None)
        {
            _newest = entry.Older;
        }
        else
        {
            _entries.At(entry.Newer).Older = entry.Older;
        }

        _entries.Give(slot);
    }

    private struct Entry
    {
        public Key Key;
        public ReadOnlyMemory<byte> Record;
        public int Hash;
        public int Older;
        public int Newer;
        public bool Used;
    }
}
