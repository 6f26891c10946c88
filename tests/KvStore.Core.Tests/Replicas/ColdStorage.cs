using System.Text;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Core.Tests.Replicas;

/// <summary>A storage of which one record at a time is in memory.</summary>
internal sealed class ColdStorage(IReplicaStorage inner) : IReplicaStorage
{
    public string Resident { get; set; } = "";

    public int UnsealedBytes => inner.UnsealedBytes;

    public ViewPosition DurablePosition => inner.DurablePosition;

    public LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency) => inner.Append(kind, term, index, payload, urgency);

    public RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record)
    {
        record = default;
        return space == RecordSpace.Data && Encoding.UTF8.GetString(key) != Resident ? RecordLookup.NotResident : inner.Find(space, key, out record);
    }

    public void BeginLoad(RecordSpace space, ReadOnlyMemory<byte> key, ulong tag) => inner.BeginLoad(space, key, tag);

    public void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record) => inner.Put(space, key, record);

    public void Remove(RecordSpace space, ReadOnlySpan<byte> key) => inner.Remove(space, key);

    public void Seal(in ViewPosition position) => inner.Seal(position);

    public void RequestFlush() => inner.RequestFlush();

    public void BeginScan(in ScanRequest request) => inner.BeginScan(request);

    public ulong PinView() => inner.PinView();

    public void ReleaseView(ulong pinnedView) => inner.ReleaseView(pinnedView);

    public void BeginInstall() => inner.BeginInstall();

    public void Install(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlySpan<byte> record) => inner.Install(space, key, record);

    public void CommitInstall(in ViewPosition position) => inner.CommitInstall(position);

    public void ReleaseLog(LogIndex entries, ulong dotted) => inner.ReleaseLog(entries, dotted);
}
