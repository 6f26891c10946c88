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

    /// <summary>
    /// What of a record is to join the data of a shard that has become open, where nothing is merged through the log any more: what the log has applied already for the same requests must not come a second time
    /// (C6). A value that such a write had superseded outside may stay as a sibling.
    /// </summary>
    /// <param name="record">What waits.</param>
    /// <param name="seen">All that is in the data. It must have everything that the log had when the shard opened: the requests are remembered as of then.</param>
    public DottedObject WithoutRepeats(OverlayRecord record, ShardClock seen)
    {
        HashSet<Dot>? repeated = null;
        foreach (OverlayRequest request in record.Requests)
        {
            // Of what is in the data already, the data knows best: the record's own value may be what the log merged.
            if (!seen.Covers(request.Dot) && dedup.Peek(request.Request, request.PayloadHash, out _) == DedupVerdict.Repeated)
            {
                (repeated ??= []).Add(request.Dot);
            }
        }

        return repeated is null ? record.Object : record.Object.Keep(value => !repeated.Contains(value.Dot));
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
        List<Dot> repeated = EnterRequests(record, fresh, index, timestampMs, out List<(Dot Outside, Dot InLog)> elsewhere);
        DottedObject joined = current;
        if (repeated.Count < fresh.Count)
        {
            joined = Join(current, record, repeated, SupersededOf(current, record, fresh, repeated, elsewhere), index);
            accounted.NoteContext(record.Object.Context);
        }

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
    /// <param name="elsewhere">Those requests whose write was superseded outside the log: its dot there, and that of the log.</param>
    private List<Dot> EnterRequests(OverlayRecord record, List<Dot> fresh, LogIndex index, ulong timestampMs, out List<(Dot Outside, Dot InLog)> elsewhere)
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
                        elsewhere.Add((request.Dot, Dot.OfLog(remembered.Version)));
                    }

                    break;
                default:
                    break;
            }
        }

        return repeated;
    }

    /// <summary>
    /// The values that the log wrote for requests whose write outside was superseded there: they must go although no context names them, but only where what superseded them takes effect now. A write that is
    /// itself a repeat stands where the log has it, and if it is the last one outside, and the log has the superseded one behind it, then the log's order counts. In doubt a value stays: nothing that the log
    /// has answered is lost.
    /// </summary>
    /// <param name="current">What the key holds.</param>
    /// <param name="record">What is merged.</param>
    /// <param name="fresh">Its dots that are not accounted for yet, sorted.</param>
    /// <param name="repeated">Those of them that have no effect.</param>
    /// <param name="elsewhere">As <see cref="EnterRequests"/> found them.</param>
    private static List<Dot> SupersededOf(DottedObject current, OverlayRecord record, List<Dot> fresh, List<Dot> repeated, List<(Dot Outside, Dot InLog)> elsewhere)
    {
        var superseded = new List<Dot>();
        foreach ((Dot outside, Dot inLog) in elsewhere)
        {
            if (current.Holds(inLog) && (IsFollowed(outside) || !repeated.Exists(dot => dot != outside && MayBeLast(dot))))
            {
                superseded.Add(inLog);
            }
        }

        return superseded;

        // Live values of the same actor were written in knowledge of it.
        bool IsFollowed(Dot outside)
        {
            foreach (ref readonly DottedValue value in record.Object.Values)
            {
                if (value.Dot.Actor == outside.Actor && fresh.BinarySearch(value.Dot) >= 0 && !repeated.Contains(value.Dot))
                {
                    return true;
                }
            }

            return false;
        }

        // Live, or perhaps a delete. A record doesn't say which of its writes had seen which, but an actor's later ones had seen its earlier ones.
        bool MayBeLast(Dot dot)
        {
            int next = fresh.BinarySearch(dot) + 1;
            return record.Object.Holds(dot) || next == fresh.Count || fresh[next].Actor != dot.Actor;
        }
    }

    private DottedObject Join(DottedObject current, OverlayRecord record, List<Dot> repeated, List<Dot> superseded, LogIndex index)
    {
        DottedObject incoming = repeated.Count == 0 ? record.Object : record.Object.Keep(value => !repeated.Contains(value.Dot));
        DottedObject before = superseded.Count == 0 ? current : current.Keep(value => !superseded.Contains(value.Dot));
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
