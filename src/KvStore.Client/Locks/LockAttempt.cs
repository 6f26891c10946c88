namespace KvStore.Client.Locks;

/// <summary>One caller's wish for one lock: looks, and takes it when nobody holds it or the holder has been silent for its lease. It has a name of its own, by which it knows its record again after an unknown outcome.</summary>
internal sealed class LockAttempt(IKvKeyspace keyspace, string name, KvLockOptions options, TimeProvider time)
{
    private readonly string _owner = Guid.NewGuid().ToString("N");
    private KvVersion _seen;
    private long _seenAt;

    public async ValueTask<KvLockHandle?> TryAsync(CancellationToken cancellationToken)
    {
        long beforeRead = time.GetTimestamp();
        KvEntry<ReadOnlyMemory<byte>>? entry = await keyspace.GetAsync<ReadOnlyMemory<byte>>(name, new KvReadOptions { Level = KvReadLevel.Linearizable }, cancellationToken).ConfigureAwait(false);
        LockRecord record = entry is null ? LockRecord.Fresh : LockRecord.Decode(entry.Value.Span);
        KvVersion version = entry?.Version ?? KvVersion.Absent;
        if (record.Owner == _owner)
        {
            // An attempt whose outcome was unknown has succeeded. Its lease counts from a moment before it was seen, which is later than it was written: so renew at once, and count from that.
            var handle = new KvLockHandle(keyspace, name, record, version, options, time, beforeRead);
            return await handle.RenewAsync().ConfigureAwait(false) ? handle.Begin() : null;
        }

        if (!record.IsFree && !IsAbandoned(record, version))
        {
            return null;
        }

        LockRecord taken = record.TakenBy(_owner, options.Lease);
        long beforeWrite = time.GetTimestamp();
        KvWriteResult written = await keyspace.TryPutAsync(name, taken.Encode(), version, cancellationToken: cancellationToken).ConfigureAwait(false);
        return written.IsDone ? new KvLockHandle(keyspace, name, taken, written.Version, options, time, beforeWrite).Begin() : null;
    }

    /// <summary>Whether this record has stood unchanged for a whole lease since it was first seen here. A renewal changes its version.</summary>
    private bool IsAbandoned(in LockRecord record, KvVersion version)
    {
        if (_seenAt == 0 || version != _seen)
        {
            (_seen, _seenAt) = (version, time.GetTimestamp());
            return false;
        }

        return time.GetElapsedTime(_seenAt) > TimeSpan.FromMilliseconds(record.LeaseMs);
    }
}
