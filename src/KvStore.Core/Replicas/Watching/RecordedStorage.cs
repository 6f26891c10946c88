using KvStore.Core.Identity;

namespace KvStore.Core.Replicas.Watching;

/// <summary>The storage as the state machine sees it, where watches are to hear of what entries do: each put and removal of a key is noted on its way.</summary>
internal sealed class RecordedStorage(IReplicaStorage storage, ChangeFeed feed) : IReplicaStorage
{
    public int UnsealedBytes => storage.UnsealedBytes;

    public ViewPosition DurablePosition => storage.DurablePosition;

    public LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency) => storage.Append(kind, term, index, payload, urgency);

    public RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record) => storage.Find(space, key, out record);

    public bool WarmPays => storage.WarmPays;

    public int Warm(RecordSpace space, int keyHash, WarmStep step) => storage.Warm(space, keyHash, step);

    public void BeginLoad(RecordSpace space, ReadOnlyMemory<byte> key, ulong tag) => storage.BeginLoad(space, key, tag);

    public void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        if (space == RecordSpace.Data)
        {
            // What the log writes is always news. What a merge leaves may be what was there, with more context.
            bool isNews = Versioning.OrderedRecord.IsOrdered(record.Span);
            feed.OnApplied(key, isNews ? null : Before(key), record);
        }

        storage.Put(space, key, record);
    }

    public void Remove(RecordSpace space, ReadOnlySpan<byte> key)
    {
        if (space == RecordSpace.Data)
        {
            feed.OnApplied(key, Before(key), default);
        }

        storage.Remove(space, key);
    }

    public void Seal(in ViewPosition position) => storage.Seal(position);

    public void RequestFlush() => storage.RequestFlush();

    public void BeginScan(in ScanRequest request) => storage.BeginScan(request);

    public ulong PinView() => storage.PinView();

    public void ReleaseView(ulong pinnedView) => storage.ReleaseView(pinnedView);

    public void BeginInstall() => storage.BeginInstall();

    public void Install(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlySpan<byte> record) => storage.Install(space, key, record);

    public void CommitInstall(in ViewPosition position) => storage.CommitInstall(position);

    public void ReleaseLog(LogIndex entries, ulong dotted) => storage.ReleaseLog(entries, dotted);

    /// <summary>What a key holds, if memory knows. A delete of a key that only the disk knows is told, even if there was nothing to delete.</summary>
    private ReadOnlyMemory<byte>? Before(ReadOnlySpan<byte> key) => storage.Find(RecordSpace.Data, key, out ReadOnlyMemory<byte> record) switch
    {
        RecordLookup.Found => record,
        RecordLookup.Absent => ReadOnlyMemory<byte>.Empty,
        _ => null,
    };
}
