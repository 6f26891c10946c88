using System.Buffers;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>
/// Applies the entries of <see cref="MergeCommand"/>, the same on every replica. A record is joined with what the key holds now, by the context that was frozen when it was minted: where nobody has
/// touched the key since, it simply wins; where somebody has, both values stay as siblings. Its dots are accounted for, and those that were already change nothing.
/// </summary>
internal sealed class OverlayMerge(IReplicaStorage storage, DedupTable dedup, AccountedDots accounted)
{
    /// <summary>The key that <see cref="TryApply"/> needs from the disk.</summary>
    public Key Missing { get; private set; }

    /// <summary>Told of every key of which a record was applied.</summary>
    public Action<Key> Merged { get; set; } = _ => { };

    /// <summary>Told when the rest of some actors was accounted for.</summary>
    public Action Finished { get; set; } = () => { };

    /// <summary>False: <see cref="Missing"/> is only on the disk; load it and apply the same entry again.</summary>
    public bool TryApply(in Entry entry, ulong timestampMs)
    {
        ReadOnlyMemory<byte> body = MergeCommand.BodyOf(entry);
        if (entry.Payload.Span[0] == MergeCommand.DoneKind)
        {
            foreach (Dot last in MergeCommand.DecodeDone(body))
            {
                accounted.AdvanceTo(last);
            }

            Finished();
            return true;
        }

        OverlayRecord record = OverlayRecord.Decode(body);
        if (record.IsNewTo(accounted.Clock) && !TryMerge(record, entry.Index, timestampMs))
        {
            Missing = record.Key;
            return false;
        }

        Merged(record.Key);
        return true;
    }

    private bool TryMerge(OverlayRecord record, LogIndex index, ulong timestampMs)
    {
        RecordLookup lookup = storage.Find(RecordSpace.Data, record.Key.Span, out ReadOnlyMemory<byte> stored);
        if (lookup == RecordLookup.NotResident)
        {
            return false;
        }

        DottedObject current = lookup == RecordLookup.Found ? DottedObject.Decode(stored) : DottedObject.Empty;
        List<Dot> fresh = FreshDotsOf(record);
        List<Dot> repeated = EnterRequests(record, fresh, index, timestampMs, out List<Dot> elsewhere);
        DottedObject joined = repeated.Count < fresh.Count ? Join(current, record, repeated, elsewhere, index) : current;
        foreach (Dot dot in fresh)
        {
            accounted.Add(dot);
        }

        Store(record.Key, current, joined, index);
        return true;
    }

    private List<Dot> FreshDotsOf(OverlayRecord record)
    {
        var fresh = new List<Dot>(record.Dots.Length);
        foreach (Dot dot in record.Dots)
        {
            if (!accounted.Clock.Covers(dot))
            {
                fresh.Add(dot);
            }
        }

        return fresh;
    }

    /// <summary>
    /// Returns the dots of requests that the log has applied already, under another dot: they must have no effect again. A request below its session's floor was answered for good by this very write, since
    /// clients keep their floor below requests in doubt: it is applied.
    /// </summary>
    /// <param name="elsewhere">The log's own dots for those requests whose write this record has superseded since.</param>
    private List<Dot> EnterRequests(OverlayRecord record, List<Dot> fresh, LogIndex index, ulong timestampMs, out List<Dot> elsewhere)
    {
        var repeated = new List<Dot>();
        elsewhere = [];
        foreach (OverlayRequest request in record.Requests)
        {
            if (!fresh.Contains(request.Dot))
            {
                continue;
            }

            switch (dedup.Enter(request.Request, request.PayloadHash, timestampMs, out RememberedResult remembered))
            {
                case DedupVerdict.New:
                    dedup.Remember(request.Request, new RememberedResult(request.PayloadHash, RefusalCode.None, index, Known: true), timestampMs);
                    break;
                case DedupVerdict.Repeated:
                    repeated.Add(request.Dot);
                    if (remembered.Version > LogIndex.Zero && !record.Object.Holds(request.Dot))
                    {
                        elsewhere.Add(Dot.OfLog(remembered.Version));
                    }

                    break;
                default:
                    break;
            }
        }

        return repeated;
    }

    private DottedObject Join(DottedObject current, OverlayRecord record, List<Dot> repeated, List<Dot> elsewhere, LogIndex index)
    {
        DottedObject incoming = repeated.Count == 0 ? record.Object : record.Object.Keep(value => !repeated.Contains(value.Dot));
        DottedObject before = elsewhere.Count == 0 ? current : current.Keep(value => !elsewhere.Contains(value.Dot));
        return Over(before, incoming, accounted.Clock, index);
    }

    /// <summary>What a key holds that the log left as <paramref name="current"/> at an index, with something on top that was written outside it.</summary>
    public static DottedObject Over(DottedObject current, DottedObject outside, ShardClock accounted, LogIndex index)
    {
        // A value whose dot is accounted for and that the key does not hold was superseded: it must not come back.
        DottedObject incoming = outside.Keep(value => current.Holds(value.Dot) || !accounted.Covers(value.Dot));
        return DottedObject.Sync(index == LogIndex.Zero ? current : current.Fill(VersionVector.Of(Dot.OfLog(index))), incoming);
    }

    /// <summary>
    /// The stored context always names the index of the entry that changed the values last: that is the version of the key. The rest of it is left out where the accounted dots imply it.
    /// </summary>
    private void Store(Key key, DottedObject before, DottedObject joined, LogIndex index)
    {
        // While some accounted dots have gaps below them, the base does not imply what was superseded there, and the record must say it.
        DottedObject rest = joined.Strip(accounted.Clock.BaseVector.Join(VersionVector.Of(Dot.OfLog(index))));
        bool saysMore = accounted.HasGaps && !rest.Context.IsEmpty;
        if (joined.Values.SequenceEqual(before.Values) && !saysMore)
        {
            return;
        }

        if (joined.IsEmpty && !saysMore)
        {
            storage.Remove(RecordSpace.Data, key.Span);
            return;
        }

        var output = new ArrayBufferWriter<byte>(256);
        joined.Strip(accounted.Clock.BaseVector).Fill(VersionVector.Of(Dot.OfLog(index))).Encode(output);
        storage.Put(RecordSpace.Data, key.Span, output.WrittenMemory);
    }
}
