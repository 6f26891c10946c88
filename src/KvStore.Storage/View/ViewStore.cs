namespace KvStore.Storage.View;

/// <summary>Called for each record of a range; returns whether to go on.</summary>
internal delegate bool RecordVisitor(ReadOnlySpan<byte> key, ReadOnlySpan<byte> record);

/// <summary>
/// Sorted records on a disk (RocksDB) or in memory. Writes come from one thread at a time, reads and flushes from any. After a crash exactly some prefix of the committed batches is there,
/// at least all that were committed before the last <see cref="Flush"/> began.
/// </summary>
internal abstract class ViewStore : IDisposable
{
    public abstract ViewBatch NewBatch();

    public abstract byte[]? Get(ReadOnlySpan<byte> key);

    /// <summary>The store as it stands now. The caller disposes it.</summary>
    public abstract ViewSnapshot Snapshot();

    /// <summary>Returns when everything committed before the call would survive a power loss.</summary>
    public abstract void Flush();

    public abstract void Dispose();
}

/// <summary>Changes that take effect together or not at all.</summary>
internal abstract class ViewBatch : IDisposable
{
    public abstract void Put(ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record);

    public abstract void Remove(ReadOnlySpan<byte> key);

    public abstract void RemoveRange(byte[] from, byte[] to);

    public abstract void Commit();

    public abstract void Dispose();
}

internal abstract class ViewSnapshot : IDisposable
{
    /// <summary>Visits the records from <paramref name="from"/> (inclusive) to <paramref name="to"/> (exclusive) in key order.</summary>
    public abstract void Visit(byte[] from, byte[] to, RecordVisitor visitor);

    public abstract void Dispose();
}
