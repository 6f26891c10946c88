using System.Buffers.Binary;
using KvStore.Core.Identity;
using KvStore.Core.Tables;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// Which key a dot was written to, for the dots that some peer may lack, superseded and deleted ones included. Also the other way round, because a page of anti-entropy must name every
/// missing dot of a key whose object it carries (otherwise the asker's data would run ahead of its clock).
/// </summary>
/// <remarks>
/// Entries in two doubly linked lists, by age and by key, under two tables; nothing is allocated per entry but the bytes of a key that isn't in the index yet.
/// Tables are never enumerated: orders come from the lists.
/// </remarks>
internal sealed class DotKeyIndex
{
    private const int None = -1;

    private readonly SlotIndex _byDot = new();

    /// <summary>The newest entry of each key.</summary>
    private readonly SlotIndex _byKey = new();
    private readonly SlotBlocks<Entry> _entries = new();
    private readonly List<Dot> _unsaved = [];
    private readonly List<Dot> _savedButGone = [];
    private int _oldest = None;
    private int _newest = None;

    public int Count => _byDot.Count;

    /// <summary>The dot that has been here longest; only if there is one.</summary>
    public Dot Oldest => _entries.At(_oldest).Dot;

    public void Add(Dot dot, Key key) => Add(dot, key, saved: false);

    /// <summary>Adds an entry that the view already holds.</summary>
    public void Restore(Dot dot, Key key) => Add(dot, key, saved: true);

    public bool Contains(Dot dot) => SlotOf(dot) != None;

    public bool TryGetKey(Dot dot, out Key key)
    {
        int slot = SlotOf(dot);
        key = slot == None ? default : _entries.At(slot).Key;
        return slot != None;
    }

    /// <inheritdoc cref="DottedReplica.Warm"/>
    public int Warm(int keyHash, int step)
    {
        int slot = _byKey.Guess(keyHash);
        if (slot == None || step == 0)
        {
            return slot;
        }

        ref Entry entry = ref _entries.At(slot);
        return step == 1 ? entry.KeyHash : entry.Key.Bytes.IsEmpty ? 0 : entry.Key.Span[0];
    }

    /// <summary>Adds the indexed dots of a key to the list, newest first.</summary>
    public void CollectDotsOf(Key key, List<Dot> dots)
    {
        int slot = NewestOf(key, key.GetHashCode());
        while (slot != None)
        {
            ref Entry entry = ref _entries.At(slot);
            dots.Add(entry.Dot);
            slot = entry.OlderOfKey;
        }
    }

    /// <returns>False if the dot isn't indexed.</returns>
    public bool Remove(Dot dot)
    {
        int slot = SlotOf(dot);
        if (slot == None)
        {
            return false;
        }

        _byDot.Remove(HashOf(dot), slot);
        ref Entry entry = ref _entries.At(slot);
        if (entry.Saved)
        {
            _savedButGone.Add(dot);
        }

        UnlinkFromKey(entry, slot);
        UnlinkFromAge(entry);
        _entries.Give(slot);
        return true;
    }

    /// <summary>Removes every entry whose dot the clock covers; reports them to the other clock.</summary>
    public void RemoveCovered(ShardClock covered, ShardClock removed)
    {
        int slot = _oldest;
        while (slot != None)
        {
            int next = _entries.At(slot).Newer;
            Dot dot = _entries.At(slot).Dot;
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
        List<DotKeyChange> changes = new(_savedButGone.Count + _unsaved.Count);
        foreach (Dot dot in _savedButGone)
        {
            changes.Add(new DotKeyChange(RecordKeyOf(dot), default));
        }

        foreach (Dot dot in _unsaved)
        {
            int slot = SlotOf(dot);
            if (slot != None && !_entries.At(slot).Saved)
            {
                _entries.At(slot).Saved = true;
                changes.Add(new DotKeyChange(RecordKeyOf(dot), _entries.At(slot).Key.Bytes));
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

    private static int HashOf(Dot dot) => SlotIndex.HashOf(dot.Actor.Value, dot.Counter);

    private int SlotOf(Dot dot)
    {
        for (SlotIndex.Probe probe = _byDot.Of(HashOf(dot)); probe.Next(out int slot);)
        {
            if (_entries.At(slot).Dot == dot)
            {
                return slot;
            }
        }

        return None;
    }

    private int NewestOf(Key key, int hash)
    {
        for (SlotIndex.Probe probe = _byKey.Of(hash); probe.Next(out int slot);)
        {
            if (_entries.At(slot).Key == key)
            {
                return slot;
            }
        }

        return None;
    }

    private void Add(Dot dot, Key key, bool saved)
    {
        Invariant.Assert(!Contains(dot));
        int hash = key.GetHashCode();
        int olderOfKey = NewestOf(key, hash);
        int slot = _entries.Take();
        _entries.At(slot) = new Entry
        {
            Key = olderOfKey != None ? _entries.At(olderOfKey).Key : Key.CopyOf(key.Span),
            KeyHash = hash,
            Dot = dot,
            OlderOfKey = olderOfKey,
            NewerOfKey = None,
            Older = _newest,
            Newer = None,
            Saved = saved,
        };
        if (olderOfKey != None)
        {
            _entries.At(olderOfKey).NewerOfKey = slot;
            _byKey.Replace(hash, olderOfKey, slot);
        }
        else
        {
            _byKey.Add(hash, slot);
        }

        if (_newest != None)
        {
            _entries.At(_newest).Newer = slot;
        }
        else
        {
            _oldest = slot;
        }

        _newest = slot;
        _byDot.Add(HashOf(dot), slot);
        if (!saved)
        {
            _unsaved.Add(dot);
        }
    }

    private void UnlinkFromKey(in Entry entry, int slot)
    {
        if (entry.OlderOfKey != None)
        {
            _entries.At(entry.OlderOfKey).NewerOfKey = entry.NewerOfKey;
        }

        if (entry.NewerOfKey != None)
        {
            _entries.At(entry.NewerOfKey).OlderOfKey = entry.OlderOfKey;
        }
        else if (entry.OlderOfKey != None)
        {
            _byKey.Replace(entry.KeyHash, slot, entry.OlderOfKey);
        }
        else
        {
            _byKey.Remove(entry.KeyHash, slot);
        }
    }

    private void UnlinkFromAge(in Entry entry)
    {
        if (entry.Older != None)
        {
            _entries.At(entry.Older).Newer = entry.Newer;
        }
        else
        {
            _oldest = entry.Newer;
        }

        if (entry.Newer != None)
        {
            _entries.At(entry.Newer).Older = entry.Older;
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
        public int KeyHash;
        public int OlderOfKey;
        public int NewerOfKey;
        public int Older;
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
