using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Core.Tests.Replicas;

/// <summary>A log and a view in memory, of which a test decides when they are durable.</summary>
internal sealed class ScriptedStorage : IReplicaStorage
{
    private readonly SortedDictionary<(RecordSpace Space, string Key), (byte[] Key, ReadOnlyMemory<byte> Record)> _view = [];

    public List<RecoveredRecord> Log { get; } = [];

    public Queue<ScanRequest> Scans { get; } = new();

    public int UnsealedBytes { get; private set; }

    public ViewPosition DurablePosition => ViewPosition.Zero;

    public void RequestFlush()
    {
    }

    public LogPosition Appended => new(Log.Count);

    public LogPosition Append(LogRecordKind kind, Term term, LogIndex index, ReadOnlySpan<byte> payload, SyncUrgency urgency)
    {
        Log.Add(new RecoveredRecord(kind, term, index, payload.ToArray()));
        return Appended;
    }

    public RecordLookup Find(RecordSpace space, ReadOnlySpan<byte> key, out ReadOnlyMemory<byte> record)
    {
        bool found = _view.TryGetValue((space, Convert.ToHexString(key)), out (byte[] Key, ReadOnlyMemory<byte> Record) entry);
        record = entry.Record;
        return found ? RecordLookup.Found : RecordLookup.Absent;
    }

    public void BeginLoad(RecordSpace space, ReadOnlyMemory<byte> key, ulong tag) => throw new InvalidOperationException("Everything is resident.");

    public void Put(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        _view[(space, Convert.ToHexString(key))] = (key.ToArray(), record);
        UnsealedBytes += record.Length;
    }

    public void Remove(RecordSpace space, ReadOnlySpan<byte> key) => _view.Remove((space, Convert.ToHexString(key)));

    public void Seal(in ViewPosition position) => UnsealedBytes = 0;

    public void BeginScan(in ScanRequest request) => Scans.Enqueue(request);

    public ScanPage Read(in ScanRequest request)
    {
        RecordSpace? space = request.Space;
        return new ScanPage(request.Tag, [.. _view.Where(entry => entry.Key.Space == space).Select(entry => new ScannedRecord(entry.Key.Space, entry.Value.Key, entry.Value.Record))], More: false);
    }

    public ulong PinView() => 1;

    public void ReleaseView(ulong pinnedView)
    {
    }

    public void BeginInstall()
    {
    }

    public void Install(RecordSpace space, ReadOnlySpan<byte> key, ReadOnlySpan<byte> record)
    {
    }

    public void CommitInstall(in ViewPosition position)
    {
    }

    public void ReleaseLog(LogIndex entries, ulong dotted)
    {
    }
}
