using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Answers gets and scans from the view of an ordered shard. What has expired is shown until the log says that it is gone: were it hidden by a clock, another leader with a slower one would show it again.
/// </summary>
internal sealed class ViewReader(
    ShardDescriptor descriptor, ReplicaOptions options, IReplicaStorage storage, ViewState view, RecordLoader loader, CompletionSink completions, ReplicaClock clock, Func<ReadLevel, uint> estimateStalenessMs)
{
    /// <summary>Bounds reads that wait for the disk at one time; more are refused.</summary>
    private const int MaxWaiting = 4_096;

    /// <summary>Records of one page when conflicts are looked for.</summary>
    private const int LookedAtOnce = 1_000;

    /// <summary>What a session has seen that has read the view as it stands. A shard's log says all: what came into it in any other way came before its entries.</summary>
    public ReadOnlyMemory<byte> Position => SessionPosition.OfLog(descriptor.Epoch, view.AppliedTerm, view.Applied).ToBytes();

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
                    Value = WinnerOf(record, out ulong expiresMs, out IReadOnlyList<SiblingView>? siblings),
                    OrderedVersion = KvStateMachine.VersionOf(record),
                    Siblings = siblings,
                    ExpiresInMs = ExpiresIn(expiresMs, clock),
                    Acknowledgements = 1,
                    StalenessMs = stale ? estimateStalenessMs(operation.Level) : 0,
                    Session = PositionFor(operation),
                });
                break;
            case RecordLookup.Absent:
                completions.Add(new Completion
                {
                    Handle = operation.Handle,
                    Outcome = Outcome.Done,
                    Acknowledgements = 1,
                    StalenessMs = stale ? estimateStalenessMs(operation.Level) : 0,
                    Session = PositionFor(operation),
                });
                break;
            default:
                Park(operation, stale);
                break;
        }
    }

    /// <summary>How long a value has to live: at least 1 ms while it is shown, zero if it does not expire.</summary>
    public static ulong ExpiresIn(ulong expiresMs, ReplicaClock clock) => expiresMs == 0 ? 0 : Math.Max(1, expiresMs - Math.Min(expiresMs, clock.WallMs));

    private ReadOnlyMemory<byte> PositionFor(in ClientOperation operation) => operation.Session.IsEmpty ? default : Position;

    /// <summary>The value that naive readers see. A merge may have left several: those that are careful get them all.</summary>
    private static ReadOnlyMemory<byte> WinnerOf(ReadOnlyMemory<byte> record, out ulong expiresMs, out IReadOnlyList<SiblingView>? siblings)
    {
        siblings = null;
        if (OrderedRecord.IsOrdered(record.Span))
        {
            OrderedRecord ordered = OrderedRecord.Decode(record);
            expiresMs = ordered.ExpiresMs;
            return ordered.Visible;
        }

        DottedObject merged = DottedObject.Decode(record);
        if (merged.SiblingCount > 1)
        {
            siblings = [.. merged.Siblings().Select(value => new SiblingView(value.Value, (ulong)value.Timestamp.PhysicalMs, value.Dot))];
        }

        DottedValue winner = merged.Winner;
        expiresMs = winner.ExpiresMs;
        return winner.Value;
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

                ReadOnlyMemory<byte> winner = WinnerOf(record.Record, out ulong expiresMs, out IReadOnlyList<SiblingView>? siblings);
                items.Add(new ScanItem(record.Key, winner, KvStateMachine.VersionOf(record.Record), default, siblings?.Count ?? 1, ExpiresIn(expiresMs, clock)));
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
                StalenessMs = stale ? estimateStalenessMs(operation.Level) : 0,
                Session = PositionFor(operation),
            });
        });
    }
}
