using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Simulator.Checks;

/// <summary>The storage of a replica, with an eye on what it applies.</summary>
internal sealed class WatchedStorage(IReplicaStorage storage, LostWriteWatch watch) : IReplicaStorage
{
    public int UnsealedBytes => storage.UnsealedBytes;

    public ViewPosition DurablePosition => storage.DurablePosition;

    public LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency) => storage.Append(kind, term, index, payload, urgency);

    public RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record) => storage.Find(space, key, out record);

    public void BeginLoad(RecordSpace space, ReadOnlyMemory<byte> key, ulong tag) => storage.BeginLoad(space, key, tag);

    public void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        storage.Put(space, key, record);
        if (space == RecordSpace.Data)
        {
            watch.OnApplied(record);
        }
    }

    public void Remove(RecordSpace space, ReadOnlySpan<byte> key) => storage.Remove(space, key);

    public void Seal(in ViewPosition position) => storage.Seal(position);

    public void BeginScan(in ScanRequest request) => storage.BeginScan(request);

    public ulong PinView() => storage.PinView();

    public void ReleaseView(ulong pinnedView) => storage.ReleaseView(pinnedView);

    public void BeginInstall() => storage.BeginInstall();

    public void Install(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlySpan<byte> record) => storage.Install(space, key, record);

    public void CommitInstall(in ViewPosition position) => storage.CommitInstall(position);

    public void ReleaseLog(LogIndex entries, ulong dotted) => storage.ReleaseLog(entries, dotted);
}
