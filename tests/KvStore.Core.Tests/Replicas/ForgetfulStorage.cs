using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Core.Tests.Replicas;

/// <summary>A disk that loses what is put under one key, as long as it is told to.</summary>
internal sealed class ForgetfulStorage(IReplicaStorage inner, byte[] key, Func<bool> forgets) : IReplicaStorage
{
    public int UnsealedBytes => inner.UnsealedBytes;

    public ViewPosition DurablePosition => inner.DurablePosition;

    public LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency) => inner.Append(kind, term, index, payload, urgency);

    public RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> found, out ReadOnlyMemory<byte> record) => inner.Find(space, found, out record);

    public void BeginLoad(RecordSpace space, ReadOnlyMemory<byte> wanted, ulong tag) => inner.BeginLoad(space, wanted, tag);

    public void Put(RecordSpace space, ReadOnlySpan<byte> put, ReadOnlyMemory<byte> record)
    {
        if (space != RecordSpace.Data || !put.SequenceEqual(key) || !forgets())
        {
            inner.Put(space, put, record);
        }
    }

    public void Remove(RecordSpace space, ReadOnlySpan<byte> removed) => inner.Remove(space, removed);

    public void Seal(in ViewPosition position) => inner.Seal(position);

    public void RequestFlush() => inner.RequestFlush();

    public void BeginScan(in ScanRequest request) => inner.BeginScan(request);

    public ulong PinView() => inner.PinView();

    public void ReleaseView(ulong pinnedView) => inner.ReleaseView(pinnedView);

    public void BeginInstall() => inner.BeginInstall();

    public void Install(RecordSpace space, ReadOnlySpan<byte> installed, ReadOnlySpan<byte> record) => inner.Install(space, installed, record);

    public void CommitInstall(in ViewPosition position) => inner.CommitInstall(position);

    public void ReleaseLog(LogIndex entries, ulong dotted) => inner.ReleaseLog(entries, dotted);
}
