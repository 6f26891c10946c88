using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Where an entry stands, and when its leader wrote it.</summary>
internal readonly record struct EntryStamp(LogIndex Index, ulong Timestamp)
{
    /// <summary>When something that lives so long from the entry on expires, in Unix milliseconds; zero: never.</summary>
    public ulong ExpiryAfter(ulong ttlMs) => ttlMs == 0 ? 0 : (Timestamp >> HybridTimestamp.CounterBits) + ttlMs;
}

/// <summary>Puts and deletes of the log, as they change the view: by a write, or by a step of a transaction.</summary>
internal sealed class RecordWriter(IReplicaStorage storage, RegimeState regimes, ExpiryIndex expiries)
{
    /// <summary>
    /// While dots are missing below some that are accounted for, or that contexts name, what a write supersedes above them is not implied by the base: it stays in the record's context, or a late copy would bring it back. So then a write needs
    /// to know the record.
    /// </summary>
    public bool NeedsRecords => regimes.Accounted.HasGaps;

    /// <param name="current">The record, where <see cref="NeedsRecords"/>; otherwise it is not looked at.</param>
    public void Put(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, in EntryStamp stamp, ulong ttlMs, ReadOnlyMemory<byte> current)
    {
        ulong expiresMs = stamp.ExpiryAfter(ttlMs);
        VersionVector kept = KeptContext(current, stamp.Index);
        if (kept.IsEmpty)
        {
            storage.Put(RecordSpace.Data, key, OrderedRecord.Encode(stamp.Index, stamp.Timestamp, value, ValueForm.Bytes, expiresMs));
        }
        else
        {
            PutDotted(key, DottedObject.Gone(kept).Write(new DottedValue(Dot.OfLog(stamp.Index), new HybridTimestamp(stamp.Timestamp), value.ToArray()) { ExpiresMs = expiresMs }));
        }

        NoteExpiry(key, expiresMs, ttlMs);
    }

    /// <inheritdoc cref="Put"/>
    public void Delete(ReadOnlySpan<byte> key, in EntryStamp stamp, ReadOnlyMemory<byte> current)
    {
        PutGone(key, stamp.Index, KeptContext(current, stamp.Index));
        expiries.Remove(key);
    }

    /// <summary>The key has no value any more. What it has superseded and not everything implies is all that stays.</summary>
    public void PutGone(ReadOnlySpan<byte> key, LogIndex index, VersionVector context)
    {
        VersionVector kept = context.Without(ImpliedAt(index));
        if (kept.IsEmpty)
        {
            storage.Remove(RecordSpace.Data, key);
        }
        else
        {
            PutDotted(key, DottedObject.Gone(kept).Write(Dot.OfLog(index), null, default));
        }
    }

    public void PutDotted(ReadOnlySpan<byte> key, DottedObject written)
    {
        var record = new ArrayBufferWriter<byte>(64);
        written.Encode(record);
        storage.Put(RecordSpace.Data, key, record.WrittenMemory);
    }

    public void NoteExpiry(ReadOnlySpan<byte> key, ulong expiresMs, ulong ttlMs)
    {
        if (ttlMs > 0)
        {
            expiries.MarkUse(storage);
            expiries.NoteWritten(key, expiresMs, ttlMs);
        }
        else
        {
            expiries.Remove(key);
        }
    }

    private VersionVector KeptContext(ReadOnlyMemory<byte> current, LogIndex index)
    {
        if (!NeedsRecords || current.IsEmpty)
        {
            return VersionVector.Empty;
        }

        return DottedObject.Decode(current).Context.Without(ImpliedAt(index));
    }

    /// <summary>What no context need name behind an index.</summary>
    private VersionVector ImpliedAt(LogIndex index) => regimes.Accounted.Clock.BaseVector.Join(VersionVector.Of(Dot.OfLog(index)));
}
