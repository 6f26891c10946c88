using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas.Overlays;

/// <summary>Reads of an adaptive shard's replica that shows what it holds outside the log: the overlay on top of the applied state. Every answer says that it is provisional.</summary>
internal sealed class ProvisionalReads(
    ReplicaOptions options,
    IReplicaStorage storage,
    ViewState view,
    RecordLoader loader,
    CompletionSink completions,
    Overlay overlay,
    AccountedDots accounted,
    ProvisionalSessions sessions,
    Func<uint> estimateStalenessMs)
{
    /// <summary>Bounds reads that wait for the disk at one time; more are refused.</summary>
    private const int MaxWaiting = 4_096;

    /// <summary>What the key holds here, overlay included, filled with what is known of it. False: only the disk knows; load the key and ask again.</summary>
    public bool TryFind(Key key, out DottedObject filled)
    {
        filled = DottedObject.Empty;
        RecordLookup lookup = storage.Find(RecordSpace.Data, key.Span, out ReadOnlyMemory<byte> record);
        if (lookup == RecordLookup.NotResident)
        {
            return false;
        }

        filled = Compose(lookup == RecordLookup.Found ? DottedObject.Decode(record) : DottedObject.Empty, overlay.Find(key), view.Applied);
        return true;
    }

    public void Serve(in ClientOperation operation)
    {
        if (loader.Waiting >= MaxWaiting)
        {
            completions.Refuse(operation, RefusalCode.Overloaded, "Too many reads wait for the disk; slow down and try again.");
        }
        else if (operation.Kind == OperationKind.Scan)
        {
            Scan(operation);
        }
        else
        {
            Get(operation);
        }
    }

    public static ReadOnlyMemory<byte> EncodeVersion(DottedObject filled)
    {
        var output = new ArrayBufferWriter<byte>(48);
        ObjectVersion.Of(filled).Encode(output);
        return output.WrittenMemory;
    }

    private DottedObject Compose(DottedObject current, OverlayRecord? outside, LogIndex applied) => OverlayMerge.Over(current, outside?.Object ?? DottedObject.Empty, accounted.Clock, applied);

    private void Get(ClientOperation operation)
    {
        if (!TryFind(new Key(operation.Key), out DottedObject filled))
        {
            loader.Load(RecordSpace.Data, operation.Key.Span, () => Get(operation));
            return;
        }

        completions.Add(new Completion
        {
            Handle = operation.Handle,
            Outcome = Outcome.Done,
            Regime = Regime.Provisional,
            Found = !filled.IsEmpty,
            Value = filled.IsEmpty ? default : filled.Winner.Value,
            Version = EncodeVersion(filled),
            Siblings = SiblingsOf(filled),
            Acknowledgements = 1,
            StalenessMs = estimateStalenessMs(),
            Session = sessions.Now(operation),
        });
    }

    private void Scan(ClientOperation operation)
    {
        // The page shows the view as of now; the overlay may have changed when it comes, and then the newer one counts.
        LogIndex applied = view.Applied;
        loader.Scan(RecordSpace.Data, operation.Key, operation.After, operation.Limit, options.ScanPageBytes, page =>
        {
            var items = new List<ScanItem>(page.Records.Count);
            Key? end = page.More ? new Key(page.Records[^1].Key) : null;
            using IEnumerator<OverlayRecord> outside = OverlayBetween(operation, end).GetEnumerator();
            OverlayRecord? next = outside.MoveNext() ? outside.Current : null;
            foreach (ScannedRecord record in page.Records)
            {
                var key = new Key(record.Key);
                for (; next is not null && next.Key.CompareTo(key) < 0; next = outside.MoveNext() ? outside.Current : null)
                {
                    Add(items, next.Key, DottedObject.Empty, next, applied);
                }

                bool touched = next is not null && next.Key == key;
                Add(items, key, DottedObject.Decode(record.Record), touched ? next : null, applied);
                next = touched ? (outside.MoveNext() ? outside.Current : null) : next;
            }

            for (; next is not null; next = outside.MoveNext() ? outside.Current : null)
            {
                Add(items, next.Key, DottedObject.Empty, next, applied);
            }

            Complete(operation, items, page, end);
        });
    }

    private void Complete(in ClientOperation operation, List<ScanItem> items, ScanPage page, Key? end)
    {
        if (items.Count == 0 && end is not null && view.IsReplacing)
        {
            completions.Refuse(operation, RefusalCode.Recovering, "This replica is taking a snapshot over; try again in a moment.");
            return;
        }

        if (items.Count == 0 && end is { } last)
        {
            // A page of nothing but keys that the overlay deletes: go on behind it.
            Scan(operation with { After = last.Bytes });
            return;
        }

        bool cut = items.Count > operation.Limit;
        if (cut)
        {
            items.RemoveRange(operation.Limit, items.Count - operation.Limit);
        }

        completions.Add(new Completion
        {
            Handle = operation.Handle,
            Outcome = Outcome.Done,
            Regime = Regime.Provisional,
            Items = items,
            More = page.More || cut,
            Acknowledgements = 1,
            StalenessMs = estimateStalenessMs(),
            Session = sessions.Now(operation),
        });
    }

    private void Add(List<ScanItem> items, Key key, DottedObject current, OverlayRecord? outside, LogIndex applied)
    {
        DottedObject filled = Compose(current, outside, applied);
        if (!filled.IsEmpty)
        {
            items.Add(new ScanItem(key.Bytes, filled.Winner.Value, LogIndex.Zero, EncodeVersion(filled), filled.SiblingCount));
        }
    }

    private IEnumerable<OverlayRecord> OverlayBetween(ClientOperation operation, Key? end)
    {
        Key? after = operation.After.IsEmpty ? null : new Key(operation.After);
        foreach (OverlayRecord record in overlay.From(after))
        {
            if (end is { } last && record.Key.CompareTo(last) > 0)
            {
                yield break;
            }

            if (record.Key.Span.StartsWith(operation.Key.Span))
            {
                yield return record;
            }
        }
    }

    private static List<SiblingView>? SiblingsOf(DottedObject filled)
    {
        if (filled.SiblingCount < 2)
        {
            return null;
        }

        var siblings = new List<SiblingView>(filled.SiblingCount);
        foreach (DottedValue value in filled.Siblings())
        {
            siblings.Add(new SiblingView(value.Value, (ulong)value.Timestamp.PhysicalMs, value.Dot));
        }

        return siblings;
    }
}
