using System.Collections.Immutable;

namespace KvStore.Storage.View;

/// <summary>
/// The view of the in-memory engine: a persistent sorted set, so that a snapshot, and what a crash would leave, is one reference.
/// </summary>
internal sealed class MemoryViewStore : ViewStore
{
    private static readonly ImmutableSortedSet<MemoryRecord> Nothing = ImmutableSortedSet.Create<MemoryRecord>(MemoryRecordOrder.Instance);

    private ImmutableSortedSet<MemoryRecord> _current = Nothing;
    private ImmutableSortedSet<MemoryRecord> _flushed = Nothing;

    private byte[]? _damaged;

    /// <summary>Forgets what was not flushed.</summary>
    public void Crash() => _current = _flushed;

    /// <summary>Takes over what another view has flushed.</summary>
    public void CopyFrom(MemoryViewStore other)
    {
        _flushed = Volatile.Read(ref other._flushed);
        _current = _flushed;
    }

    /// <summary>From now on one record can't be read. Returns false if there is none.</summary>
    public bool Damage(Random random)
    {
        if (_flushed.Count == 0)
        {
            return false;
        }

        Volatile.Write(ref _damaged, _flushed[random.Next(_flushed.Count)].Key);
        return true;
    }

    public void Repair() => Volatile.Write(ref _damaged, null);

    public override ViewBatch NewBatch() => new Batch(this);

    public override byte[]? Get(ReadOnlySpan<byte> key)
    {
        AssertReadable(key);
        return Volatile.Read(ref _current).TryGetValue(new MemoryRecord(key.ToArray(), default), out var found) ? found.Record.ToArray() : null;
    }

    public override ViewSnapshot Snapshot() => new MemorySnapshot(this, Volatile.Read(ref _current));

    public override void Flush() => Volatile.Write(ref _flushed, Volatile.Read(ref _current));

    /// <summary>The records stay: they belong to the simulated disk.</summary>
    public override void Dispose()
    {
    }

    private static int LowerBound(ImmutableSortedSet<MemoryRecord> records, byte[] key)
    {
        var index = records.IndexOf(new MemoryRecord(key, default));
        return index < 0 ? ~index : index;
    }

    private void AssertReadable(ReadOnlySpan<byte> key)
    {
        if (Volatile.Read(ref _damaged) is { } damaged && key.SequenceEqual(damaged))
        {
            throw new InvalidDataException("The simulated view is damaged.");
        }
    }

    private readonly record struct MemoryRecord(byte[] Key, ReadOnlyMemory<byte> Record);

    private sealed class MemoryRecordOrder : IComparer<MemoryRecord>
    {
        public static readonly MemoryRecordOrder Instance = new();

        public int Compare(MemoryRecord x, MemoryRecord y) => x.Key.AsSpan().SequenceCompareTo(y.Key);
    }

    private sealed class Batch(MemoryViewStore store) : ViewBatch
    {
        private readonly ImmutableSortedSet<MemoryRecord>.Builder _builder = store._current.ToBuilder();

        public override void Put(ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
        {
            var added = new MemoryRecord(key.ToArray(), record);
            _builder.Remove(added);
            _builder.Add(added);
        }

        public override void Remove(ReadOnlySpan<byte> key) => _builder.Remove(new MemoryRecord(key.ToArray(), default));

        public override void RemoveRange(byte[] from, byte[] to)
        {
            var records = _builder.ToImmutable();
            for (var i = LowerBound(records, from); i < records.Count && records[i].Key.AsSpan().SequenceCompareTo(to) < 0; i++)
            {
                _builder.Remove(records[i]);
            }
        }

        public override void Commit() => Volatile.Write(ref store._current, _builder.ToImmutable());

        public override void Dispose()
        {
        }
    }

    private sealed class MemorySnapshot(MemoryViewStore store, ImmutableSortedSet<MemoryRecord> records) : ViewSnapshot
    {
        public override void Visit(byte[] from, byte[] to, RecordVisitor visitor)
        {
            for (var i = LowerBound(records, from); i < records.Count; i++)
            {
                var (key, record) = records[i];
                store.AssertReadable(key);
                if (key.AsSpan().SequenceCompareTo(to) >= 0 || !visitor(key, record.Span))
                {
                    return;
                }
            }
        }

        public override void Dispose()
        {
        }
    }
}
