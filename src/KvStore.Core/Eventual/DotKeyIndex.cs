using System.Buffers.Binary;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// Which key a dot was written to, for the dots that some peer may lack, superseded and deleted ones included. Also the other way round, because a page of anti-entropy must name every
/// missing dot of a key whose object it carries (otherwise the asker's data would run ahead of its clock).
/// </summary>
/// <remarks>
/// A slab of entries in two doubly linked lists, by age and by key, under two tables; nothing is allocated per entry but the bytes of a key that isn't in the index yet.
/// Tables are never enumerated: orders come from the lists.
/// </remarks>
internal sealed class DotKeyIndex
{
    private const int None = -1;

    private readonly Dictionary<Dot, int> _slotOf = [];
    private readonly Dictionary<Key, int> _newestOfKey = [];
    private readonly List<Dot> _unsaved = [];
    private readonly List<Dot> _savedButGone = [];
    private Entry[] _slab = new Entry[16];
    private int _used;
    private int _free = None;
    private int _oldest = None;
    private int _newest = None;

    public int Count => _slotOf.Count;

    /// <summary>The dot that has been here longest; only if there is one.</summary>
    public Dot Oldest => _slab[_oldest].Dot;

    public void Add(Dot dot, Key key) => Add(dot, key, saved: false);

    /// <summary>Adds an entry that the view already holds.</summary>
    public void Restore(Dot dot, Key key) => Add(dot, key, saved: true);

    public bool Contains(Dot dot) => _slotOf.ContainsKey(dot);

    public bool TryGetKey(Dot dot, out Key key)
    {
        bool found = _slotOf.TryGetValue(dot, out int slot);
        key = found ? _slab[slot].Key : default;
        return found;
    }

    /// <summary>Adds the indexed dots of a key to the list, newest first.</summary>
    public void CollectDotsOf(Key key, List<Dot> dots)
    {
        int slot = _newestOfKey.TryGetValue(key, out int newest) ? newest : None;
        while (slot != None)
        {
            dots.Add(_slab[slot].Dot);
            slot = _slab[slot].OlderOfKey;
        }
    }

    /// <returns>False if the dot isn't indexed.</returns>
    public bool Remove(Dot dot)
    {
        if (!_slotOf.Remove(dot, out int slot))
        {
            return false;
        }

        ref Entry entry = ref _slab[slot];
        if (entry.Saved)
        {
            _savedButGone.Add(dot);
        }

        UnlinkFromKey(ref entry);
        UnlinkFromAge(ref entry);
        entry = new Entry { Newer = _free };
        _free = slot;
        return true;
    }

    /// <summary>Removes every entry whose dot the clock covers; reports them to the other clock.</summary>
    public void RemoveCovered(ShardClock covered, ShardClock removed)
    {
        int slot = _oldest;
        while (slot != None)
        {
            int next = _slab[slot].Newer;
            Dot dot = _slab[slot].Dot;
            if (covered.Covers(dot))
            {
                Remove(dot);
                removed.Add(dot);
            }

            slot = next;
        }
    }

    /// <summary>The view holds entries that are not wanted any more.</summary>
    public bool HasRemovals => _savedButGone.Count > 0;

    /// <summary>The record keys of entries that the view holds and that are not wanted any more: told early, so that a shard in which nothing more happens keeps none.</summary>
    public List<ReadOnlyMemory<byte>> TakeRemovals()
    {
        List<ReadOnlyMemory<byte>> removals = [.. _savedButGone.Select(dot => (ReadOnlyMemory<byte>)RecordKeyOf(dot))];
        _savedButGone.Clear();
        return removals;
    }

    /// <summary>
    /// What the view must learn at a seal: entries added since the last one that are still wanted, and saved ones that are not. An entry that came and went in between never costs a write.
    /// </summary>
    public List<DotKeyChange> TakeChanges()
    {
        List<DotKeyChange> changes = [];
        foreach (Dot dot in _savedButGone)
        {
            changes.Add(new DotKeyChange(RecordKeyOf(dot), default));
        }

        foreach (Dot dot in _unsaved)
        {
            if (_slotOf.TryGetValue(dot, out int slot) && !_slab[slot].Saved)
            {
                _slab[slot].Saved = true;
                changes.Add(new DotKeyChange(RecordKeyOf(dot), _slab[slot].Key.Bytes));
            }
        }

        _savedButGone.Clear();
        _unsaved.Clear();
        return changes;
    }

    /// <exception cref="MalformedRecordException">Not the key of a record of this index.</exception>
    public static Dot DotOfRecordKey(ReadOnlySpan<byte> recordKey)
    {
        if (recordKey.Length != 16)
        {
            MalformedRecordException.Throw("a dot-key record's key isn't 16 bytes long");
        }

        Dot dot = new(new ActorId(BinaryPrimitives.ReadUInt64BigEndian(recordKey)), BinaryPrimitives.ReadUInt64BigEndian(recordKey[8..]));
        if (dot.Actor.IsNone || dot.Counter is 0 or > Dot.MaxCounter)
        {
            MalformedRecordException.Throw("a dot-key record names no dot");
        }

        return dot;
    }

    private static byte[] RecordKeyOf(Dot dot)
    {
        byte[] recordKey = new byte[16];
        BinaryPrimitives.WriteUInt64BigEndian(recordKey, dot.Actor.Value);
        BinaryPrimitives.WriteUInt64BigEndian(recordKey.AsSpan(8), dot.Counter);
        return recordKey;
    }

    private void Add(Dot dot, Key key, bool saved)
    {
        int slot = TakeSlot();
        bool known = _newestOfKey.TryGetValue(key, out int olderOfKey);
        Key owned = known ? _slab[olderOfKey].Key : Key.CopyOf(key.Span);
        _slab[slot] = new Entry
        {
            Key = owned,
            Dot = dot,
            OlderOfKey = known ? olderOfKey : None,
            NewerOfKey = None,
            Older = _newest,
            Newer = None,
            Saved = saved,
        };
        if (known)
        {
            _slab[olderOfKey].NewerOfKey = slot;
        }

        if (_newest != None)
        {
            _slab[_newest].Newer = slot;
        }
        else
        {
            _oldest = slot;
        }

        _newest = slot;
        _newestOfKey[owned] = slot;
        _slotOf.Add(dot, slot);
        if (!saved)
        {
            _unsaved.Add(dot);
        }
    }

    private int TakeSlot()
    {
        if (_free != None)
        {
            int slot = _free;
            _free = _slab[slot].Newer;
            return slot;
        }

        if (_used == _slab.Length)
        {
            Array.Resize(ref _slab, _used * 2);
        }

        return _used++;
    }

    private void UnlinkFromKey(ref Entry entry)
    {
        if (entry.OlderOfKey != None)
        {
            _slab[entry.OlderOfKey].NewerOfKey = entry.NewerOfKey;
        }

        if (entry.NewerOfKey != None)
        {
            _slab[entry.NewerOfKey].OlderOfKey = entry.OlderOfKey;
        }
        else if (entry.OlderOfKey != None)
        {
            _newestOfKey[entry.Key] = entry.OlderOfKey;
        }
        else
        {
            _newestOfKey.Remove(entry.Key);
        }
    }

    private void UnlinkFromAge(ref Entry entry)
    {
        if (entry.Older != None)
        {
            _slab[entry.Older].Newer = entry.Newer;
        }
        else
        {
            _oldest = entry.Newer;
        }

        if (entry.Newer != None)
        {
            _slab[entry.Newer].Older = entry.Older;
        }
        else
        {
            _newest = entry.Older;
        }
    }

    private struct Entry
    {
        public Key Key;
        public Dot Dot;
        public int OlderOfKey;
        public int NewerOfKey;
        public int Older;

        /// <summary>In a free slot: the next free slot.</summary>
        public int Newer;

        /// <summary>Whether the view holds it (as of the last seal).</summary>
        public bool Saved;
    }
}

/// <summary>One record of the view's dot-key space to put, or with an empty <paramref name="Key"/> to remove.</summary>
public readonly record struct DotKeyChange(ReadOnlyMemory<byte> RecordKey, ReadOnlyMemory<byte> Key)
{
    public bool Removes => Key.IsEmpty;
}
