using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Simulator.Nodes;

/// <summary>Hands everything on to another storage: the base of those that look at what a replica asks of its disk, or spoil it.</summary>
internal abstract class StorageDecorator(IReplicaStorage inner) : IReplicaStorage
{
    protected IReplicaStorage Inner => inner;

    public virtual int UnsealedBytes => inner.UnsealedBytes;

    public virtual ViewPosition DurablePosition => inner.DurablePosition;

    public virtual void RequestFlush() => inner.RequestFlush();

    public virtual LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency) =>
        inner.Append(kind, term, index, payload, urgency);

    public virtual RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record) => inner.Find(space, key, out record);

    public virtual void BeginLoad(RecordSpace space, ReadOnlyMemory<byte> key, ulong tag) => inner.BeginLoad(space, key, tag);

    public virtual void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record) => inner.Put(space, key, record);

    public virtual void Remove(RecordSpace space, ReadOnlySpan<byte> key) => inner.Remove(space, key);

    public virtual void Seal(in ViewPosition position) => inner.Seal(position);

    public virtual void BeginScan(in ScanRequest request) => inner.BeginScan(request);

    public virtual ulong PinView() => inner.PinView();

    public virtual void ReleaseView(ulong pinnedView) => inner.ReleaseView(pinnedView);

    public virtual void BeginInstall() => inner.BeginInstall();

    public virtual void Install(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlySpan<byte> record) => inner.Install(space, key, record);

    public virtual void CommitInstall(in ViewPosition position) => inner.CommitInstall(position);

    public virtual void ReleaseLog(LogIndex entries, ulong dotted) => inner.ReleaseLog(entries, dotted);
}
