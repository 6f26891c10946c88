using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Core.Tests.Replicas;

/// <summary>A disk that has one key's data on it and not in memory, as long as it is told to stall, and does not come up with it until it is released.</summary>
internal sealed class StallingStorage(IReplicaStorage inner, byte[] key) : IReplicaStorage
{
    private readonly Queue<ulong> _waiting = new();

    /// <summary>Whether the key has to be loaded.</summary>
    public bool Stalls { get; set; }

    /// <summary>Loads that nothing has come of yet.</summary>
    public int Waiting => _waiting.Count;

    public int UnsealedBytes => inner.UnsealedBytes;

    public ViewPosition DurablePosition => inner.DurablePosition;

    /// <summary>What was asked for comes, in the order in which it was asked for.</summary>
    public void Release()
    {
        Stalls = false;
        while (_waiting.TryDequeue(out ulong tag))
        {
            inner.BeginLoad(RecordSpace.Data, key, tag);
        }
    }

    public LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency) => inner.Append(kind, term, index, payload, urgency);

    public RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> found, out ReadOnlyMemory<byte> record)
    {
        if (Stalls && space == RecordSpace.Data && found.SequenceEqual(key))
        {
            record = default;
            return RecordLookup.NotResident;
        }

        return inner.Find(space, found, out record);
    }

    public void BeginLoad(RecordSpace space, ReadOnlyMemory<byte> wanted, ulong tag)
    {
        if (Stalls && space == RecordSpace.Data && wanted.Span.SequenceEqual(key))
        {
            _waiting.Enqueue(tag);
            return;
        }

        inner.BeginLoad(space, wanted, tag);
    }

    public void Put(RecordSpace space, ReadOnlySpan<byte> put, ReadOnlyMemory<byte> record) => inner.Put(space, put, record);

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
