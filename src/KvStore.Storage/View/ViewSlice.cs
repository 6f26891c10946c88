using System.Buffers;
using KvStore.Core.Replicas;

namespace KvStore.Storage.View;

/// <summary>One record, or its removal, as it stood when the slice was sealed. The key begins with its space.</summary>
internal struct SliceEntry
{
    public byte[] Key;
    public ReadOnlyMemory<byte> Record;
    public bool IsRemoved;
}

/// <summary>
/// What a replica put between two seals: the unit in which the view reaches the disk. It owns its records, because the table only holds the newest. Filled by the loop, then handed over.
/// </summary>
internal sealed class ViewSlice
{
    private static readonly Comparer<SliceEntry> ByKey = Comparer<SliceEntry>.Create(static (a, b) => a.Key.AsSpan().SequenceCompareTo(b.Key));

    private SliceEntry[] _entries = [];

    public long Number { get; set; }

    public ViewPosition Position { get; set; }

    public int Bytes { get; set; }

    public int Count { get; private set; }

    public ReadOnlySpan<SliceEntry> Entries => _entries.AsSpan(0, Count);

    public int Add(byte[] key, ReadOnlyMemory<byte> record, bool isRemoved)
    {
        if (Count == _entries.Length)
        {
            var bigger = ArrayPool<SliceEntry>.Shared.Rent(Math.Max(64, Count * 2));
            Entries.CopyTo(bigger);
            Free();
            _entries = bigger;
        }

        _entries[Count] = new SliceEntry { Key = key, Record = record, IsRemoved = isRemoved };
        return Count++;
    }

    public void Replace(int entry, ReadOnlyMemory<byte> record, bool isRemoved)
    {
        _entries[entry].Record = record;
        _entries[entry].IsRemoved = isRemoved;
    }

    /// <summary>RocksDB takes sorted batches faster, and the memtable's neighbours stay in the cache.</summary>
    public void Sort() => _entries.AsSpan(0, Count).Sort(ByKey);

    public void Clear()
    {
        Free();
        _entries = [];
        Count = 0;
        Bytes = 0;
    }

    private void Free()
    {
        if (_entries.Length > 0)
        {
            ArrayPool<SliceEntry>.Shared.Return(_entries, clearArray: true);
        }
    }
}
