using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// Answers gets and scans from the view of an ordered shard. What has expired is shown until the log says that it is gone: were it hidden by a clock, another leader with a slower one would show it again.
/// </summary>
internal sealed class ViewReader(
    RegimeState regimes,
    KvStateMachine stateMachine,
    ReplicaOptions options,
    IReplicaStorage storage,
    ViewState view,
    RecordLoader loader,
    CompletionSink completions,
    ReplicaClock clock,
    Func<ReadLevel, uint> estimateStalenessMs)
{
    /// <summary>Bounds reads that wait for the disk at one time; more are refused.</summary>
    private const int MaxWaiting = 4_096;

    /// <summary>Records of one page when conflicts are looked for.</summary>
    private const int LookedAtOnce = 1_000;

    /// <summary>What a session has seen that has read the view as it stands. A shard's log says all: what came into it in any other way came before its entries.</summary>
    public ReadOnlyMemory<byte> Position => SessionPosition.OfLog(regimes.Epoch, view.AppliedTerm, view.Applied).ToBytes();

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
                completions.Add(OrderedRecord.IsOrdered(record.Span) ? Describe(operation, OrderedRecord.Decode(record), stale) : Describe(operation, DottedObject.Decode(record), stale));
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

    private Completion Describe(in ClientOperation operation, in OrderedRecord found, bool stale) => new()
    {
        Handle = operation.Handle,
        Outcome = Outcome.Done,
        Found = true,
        Value = found.Visible,
        OrderedVersion = found.Index,
        ExpiresInMs = ExpiresIn(found.ExpiresMs, clock),
        Acknowledgements = 1,
        StalenessMs = stale ? estimateStalenessMs(operation.Level) : 0,
        Session = PositionFor(operation),
    };

    /// <summary>What an open period or a merge left behind: perhaps several values, or only the trace of a delete.</summary>
    private Completion Describe(in ClientOperation operation, DottedObject found, bool stale) => new()
    {
        Handle = operation.Handle,
        Outcome = Outcome.Done,
        Found = !found.IsEmpty,
        Value = found.IsEmpty ? default : found.Winner.Value,
        Version = found.IsEmpty ? default : stateMachine.EncodeVersion(found),
        ExpiresInMs = found.IsEmpty ? 0 : ExpiresIn(found.Winner.ExpiresMs, clock),
        Siblings = found.SiblingCount > 1 ? OpenReads.SiblingsOf(found) : null,
        Acknowledgements = 1,
        StalenessMs = stale ? estimateStalenessMs(operation.Level) : 0,
        Session = PositionFor(operation),
    };

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
                        items.Add(new ScanItem(record.Key, default, stateMachine.VersionOf(record.Record), default, count));
                    }
                }
                else if (OrderedRecord.IsOrdered(record.Record.Span))
                {
                    OrderedRecord decoded = OrderedRecord.Decode(record.Record);
                    items.Add(new ScanItem(record.Key, decoded.Visible, decoded.Index, default, 1, ExpiresIn(decoded.ExpiresMs, clock)));
                }
                else if (DottedObject.Decode(record.Record) is { IsEmpty: false } left)
                {
                    items.Add(new ScanItem(record.Key, left.Winner.Value, Identity.LogIndex.Zero, stateMachine.EncodeVersion(left), left.SiblingCount, ExpiresIn(left.Winner.ExpiresMs, clock)));
                }
            }

            if (items.Count == 0 && page.More)
            {
                // A page of nothing but traces of deletes, or without conflicts.
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
