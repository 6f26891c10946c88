using RocksDbSharp;

namespace KvStore.Storage.View;

/// <summary>
/// The view in one RocksDB instance with one column family. Its own log is off: the node's log is the durability, and a crash leaves a prefix of the batches, because memtables are flushed
/// in order and a batch never spans two.
/// </summary>
internal sealed class RocksViewStore : ViewStore
{
    private const ulong MemtableBytes = 64 << 20;
    private const ulong BlockCacheBytes = 64 << 20;
    private const int BloomBitsPerKey = 10;

    private static int _liveOwners;

    private readonly RocksDb _db;
    private readonly Cache _cache = Cache.CreateLru(BlockCacheBytes);
    private readonly WriteOptions _write = new WriteOptions().SetSync(false);
    private readonly ReadOptions _read = new();
    private readonly FlushOptions _flush = new FlushOptions().SetWaitForFlush(true);

    public RocksViewStore(string path)
    {
        var table = new BlockBasedTableOptions()
            .SetBlockCache(_cache)
            .SetFilterPolicy(BloomFilterPolicy.Create(BloomBitsPerKey, false))
            .SetBlockSize(8 * 1024)
            .SetFormatVersion(5);
        var options = new DbOptions()
            .SetCreateIfMissing(true)
            .SetWriteBufferSize(MemtableBytes)
            .SetMaxWriteBufferNumber(3)
            .SetMaxBackgroundCompactions(1)
            .SetKeepLogFileNum(3)
            .SetBlockBasedTableFactory(table);
        _write.DisableWal(1);
        try
        {
            _db = RocksDb.Open(options, path);
        }
        catch (RocksDbException error)
        {
            throw new StorageRefusedException($"The view in {path} can't be opened: {error.Message}. Restore the directory, or remove this node and add it again with an empty one.", error);
        }
    }

    /// <summary>Snapshots and batches that nobody has disposed. They have no finalizer, so tests hold this to zero.</summary>
    public static int LiveOwners => Volatile.Read(ref _liveOwners);

    public override ViewBatch NewBatch() => new Batch(this);

    public override byte[]? Get(ReadOnlySpan<byte> key) => _db.Get(key, null, _read);

    public override ViewSnapshot Snapshot() => new RocksSnapshot(_db);

    public override void Flush() => _db.Flush(_flush);

    public override void Dispose() => _db.Dispose();

    private sealed class Batch : ViewBatch
    {
        private readonly RocksViewStore _store;
        private readonly WriteBatch _batch = new();

        public Batch(RocksViewStore store)
        {
            _store = store;
            Interlocked.Increment(ref _liveOwners);
        }

        public override void Put(ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record) => _batch.Put(key, record.Span);

        public override void Remove(ReadOnlySpan<byte> key) => _batch.Delete(key);

        public override void RemoveRange(byte[] from, byte[] to) => _batch.DeleteRange(from, (ulong)from.Length, to, (ulong)to.Length);

        public override void Commit() => _store._db.Write(_batch, _store._write);

        public override void Dispose()
        {
            _batch.Dispose();
            Interlocked.Decrement(ref _liveOwners);
        }
    }

    private sealed class RocksSnapshot : ViewSnapshot
    {
        private readonly RocksDb _db;
        private readonly Snapshot _snapshot;

        public RocksSnapshot(RocksDb db)
        {
            _db = db;
            _snapshot = db.CreateSnapshot();
            Interlocked.Increment(ref _liveOwners);
        }

        public override void Visit(byte[] from, byte[] to, RecordVisitor visitor)
        {
            // The bound keeps the iterator from wading through the tombstones of other shards. A scan's blocks stay out of the cache.
            var options = new ReadOptions().SetSnapshot(_snapshot).SetIterateUpperBound(to).SetFillCache(false);
            using var iterator = _db.NewIterator(null, options);
            var wantsMore = true;
            for (iterator.Seek(from); wantsMore && iterator.Valid(); iterator.Next())
            {
                wantsMore = visitor(iterator.GetKeySpan(), iterator.GetValueSpan());
            }

            if (wantsMore)
            {
                AssertAtEnd(iterator);
            }

            GC.KeepAlive(options);
            GC.KeepAlive(to);
        }

        /// <summary>An iterator that meets a damaged block just ends, as if there were no more records.</summary>
        private static void AssertAtEnd(Iterator iterator)
        {
            try
            {
                Native.Instance.rocksdb_iter_get_error(iterator.Handle);
            }
            catch (RocksDbException error)
            {
                throw new InvalidDataException($"The view is damaged: {error.Message}. Remove this node from the cluster and add it again with an empty data directory.", error);
            }
        }

        public override void Dispose()
        {
            _snapshot.Dispose();
            Interlocked.Decrement(ref _liveOwners);
        }
    }
}
