using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>Answers gets and scans from the view of an ordered shard.</summary>
internal sealed class ViewReader(ReplicaOptions options, IReplicaStorage storage, RecordLoader loader, CompletionSink completions, Func<uint> estimateStalenessMs)
{
    /// <summary>Bounds reads that wait for the disk at one time; more are refused.</summary>
    private const int MaxWaiting = 4_096;

    /// <summary>Records of one page when conflicts are looked for.</summary>
    private const int LookedAtOnce = 1_000;

    public void Serve(in ClientOperation operation, bool stale)
    {
        if (operation.Kind == OperationKind.Scan)
        {
            Scan(operation, stale);
            return;
        }

        switch (storage.Find(RecordSpace.Data, operation.Key.Span, out ReadOnlyMemory<byte> record))
        {
            case RecordLookup.Found:
                completions.Add(new Completion
                {
                    Handle = operation.Handle,
                    Outcome = Outcome.Done,
                    Found = true,
                    Value = WinnerOf(record, out IReadOnlyList<SiblingView>? siblings),
                    OrderedVersion = KvStateMachine.VersionOf(record),
                    Siblings = siblings,
                    Acknowledgements = 1,
                    StalenessMs = stale ? estimateStalenessMs() : 0,
                });
                break;
            case RecordLookup.Absent:
                completions.Add(new Completion { Handle = operation.Handle, Outcome = Outcome.Done, Acknowledgements = 1, StalenessMs = stale ? estimateStalenessMs() : 0 });
                break;
            default:
                Park(operation, stale);
                break;
        }
    }

    /// <summary>The value that naive readers see. A merge may have left several: those that are careful get them all.</summary>
    private static ReadOnlyMemory<byte> WinnerOf(ReadOnlyMemory<byte> record, out IReadOnlyList<SiblingView>? siblings)
    {
        siblings = null;
        if (OrderedRecord.IsOrdered(record.Span))
        {
            return OrderedRecord.Decode(record).Value;
        }

        DottedObject merged = DottedObject.Decode(record);
        if (merged.SiblingCount > 1)
        {
            siblings = [.. merged.Values.ToArray().Select(value => new SiblingView(value.Value, (ulong)value.Timestamp.PhysicalMs, value.Dot))];
        }

        return merged.Winner.Value;
    }

    private void Park(ClientOperation operation, bool stale)
    {
        if (loader.Waiting >= MaxWaiting)
        {
            completions.Refuse(operation, RefusalCode.Overloaded, "Too many reads wait for the disk; slow down and try again.");
            return;
        }

        loader.Load(RecordSpace.Data, operation.Key.Span, () => Serve(operation, stale));
    }

    private void Scan(ClientOperation operation, bool stale)
    {
        if (loader.Waiting >= MaxWaiting)
        {
            completions.Refuse(operation, RefusalCode.Overloaded, "Too many reads wait for the disk; slow down and try again.");
            return;
        }

        // Merges are rare: whoever looks for what they have left reads all records, many at a time.
        int limit = operation.OnlyConflicts ? Math.Max(operation.Limit, LookedAtOnce) : operation.Limit;
        loader.Scan(RecordSpace.Data, operation.Key, operation.After, limit, options.ScanPageBytes, page =>
        {
            var items = new List<ScanItem>(page.Records.Count);
            foreach (ScannedRecord record in page.Records)
            {
                if (operation.OnlyConflicts)
                {
                    int count = DottedObject.PeekSiblings(record.Record);
                    if (count > 1)
                    {
                        items.Add(new ScanItem(record.Key, default, KvStateMachine.VersionOf(record.Record), default, count));
                    }

                    continue;
                }

                ReadOnlyMemory<byte> winner = WinnerOf(record.Record, out IReadOnlyList<SiblingView>? siblings);
                items.Add(new ScanItem(record.Key, winner, KvStateMachine.VersionOf(record.Record), default, siblings?.Count ?? 1));
            }

            if (operation.OnlyConflicts && items.Count == 0 && page.More)
            {
                Scan(operation with { After = page.Records[^1].Key }, stale);
                return;
            }

            completions.Add(new Completion
            {
                Handle = operation.Handle,
                Outcome = Outcome.Done,
                Items = items,
                More = page.More,
                Acknowledgements = 1,
                StalenessMs = stale ? estimateStalenessMs() : 0,
            });
        });
    }
}
