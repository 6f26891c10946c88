using KvStore.Storage.Engine;
using KvStore.Storage.View;

namespace KvStore.Storage.Log;

/// <summary>
/// The segments of the log, oldest first; the last one is written to. Owned by the writer. A segment that is no longer needed becomes the next spare, so that appends go to a file whose
/// blocks are all written already.
/// </summary>
internal sealed class LogSegments : IDisposable
{
    private const string SpareName = "spare.seg";
    private const int ZeroBlockBytes = 64 * 1024;

    private readonly ILogDirectory _directory;
    private readonly LogIdentity _identity;
    private readonly long _segmentBytes;
    private readonly List<LogSegment> _segments;
    private readonly SparePreparer _spare;
    private DataStamp _stamp;
    private ILogFile? _file;
    private long _tail;
    private long _length;
    private int _count;

    private LogSegments(ILogDirectory directory, LogIdentity identity, DataStamp stamp, long segmentBytes, StorageScheduler scheduler, StorageHealth health, RecoveredLog recovered)
    {
        _directory = directory;
        _identity = identity;
        _segmentBytes = segmentBytes;
        _segments = recovered.Segments;
        _stamp = stamp;
        _spare = new SparePreparer(directory, segmentBytes, scheduler, health);
    }

    public LogSegment Current => _segments[^1];

    public uint Seed => Current.Seed;

    /// <summary>From any thread.</summary>
    public int Count => Volatile.Read(ref _count);

    public long RetainedBytes => Count * _segmentBytes;

    public bool HasReleasable => Count > 1;

    /// <summary>
    /// Opens what recovery found for appending: clears everything behind the tail, so that nothing torn can ever be taken for a record, and makes that durable first.
    /// </summary>
    public static LogSegments Open(
        ILogDirectory directory, LogIdentity identity, DataStamp stamp, long segmentBytes, StorageScheduler scheduler, StorageHealth health, RecoveredLog recovered)
    {
        var segments = new LogSegments(directory, identity, stamp, segmentBytes, scheduler, health, recovered);
        segments.RemoveLeftovers();
        if (recovered.Segments.Count == 0)
        {
            segments.Switch(recovered.LastBatch + 1);
        }
        else
        {
            segments._count = recovered.Segments.Count;
            segments._file = directory.Open(segments.Current.Header.FileName);
            segments._length = segments._file.Length;
            segments._tail = recovered.Tail;
            segments.ClearBehindTail();
        }

        return segments;
    }

    public bool Fits(int bytes) => _tail + bytes <= _length;

    public void Append(ReadOnlySpan<byte> bytes)
    {
        _file!.Write(_tail, bytes);
        _tail += bytes.Length;
        if (_tail > _length / 2)
        {
            _spare.Want();
        }
    }

    public void SyncCurrent() => _file!.Sync();

    /// <summary>Begins the next segment. Everything in the current one is durable.</summary>
    public void Switch(ulong firstBatch)
    {
        var sequence = _segments.Count == 0 ? Math.Max(_stamp.FirstSegment, 1) : Current.Header.Sequence + 1;
        var header = new SegmentHeader(_identity, sequence, (_stamp.Incarnation << 32) ^ sequence, firstBatch, _tail);
        var name = _spare.Take() ?? CreateFile();
        var file = _directory.Open(name);
        var page = new byte[SegmentHeader.PageBytes];
        header.WriteTo(page);
        file.Write(0, page);
        file.Sync();
        _directory.Rename(name, header.FileName);
        SaveStamp(_stamp with { FirstSegment = _segments.Count == 0 ? sequence : _stamp.FirstSegment, LastSegment = sequence });
        _file?.Dispose();
        _file = file;
        _tail = SegmentHeader.PageBytes;
        _length = file.Length;
        _segments.Add(new LogSegment(header));
        Volatile.Write(ref _count, _segments.Count);
    }

    /// <summary>Drops the oldest segments in which no replica needs anything.</summary>
    public void DropReleased(ReplicaViews views)
    {
        var droppable = 0;
        while (droppable < _segments.Count - 1 && views.HasReleased(_segments[droppable]))
        {
            droppable++;
        }

        if (droppable == 0)
        {
            return;
        }

        // The stamp goes first: a file that it does not name may be missing.
        SaveStamp(_stamp with { FirstSegment = _segments[droppable].Header.Sequence });
        foreach (var segment in _segments.GetRange(0, droppable))
        {
            if (!_spare.Offer(segment.Header.FileName))
            {
                _directory.Delete(segment.Header.FileName);
            }
        }

        _segments.RemoveRange(0, droppable);
        Volatile.Write(ref _count, _segments.Count);
    }

    public void Forget(ulong shard)
    {
        foreach (var segment in _segments)
        {
            segment.Forget(shard);
        }
    }

    public void SaveClosed()
    {
        _file!.Sync();
        SaveStamp(_stamp with { WasClosed = true });
    }

    public void Dispose()
    {
        // A preparation in progress ends before somebody else may open the folder.
        _spare.RunInline();
        _file?.Dispose();
        _file = null;
    }

    private void SaveStamp(DataStamp stamp)
    {
        stamp.Save(_directory);
        _stamp = stamp;
    }

    private string CreateFile()
    {
        const string name = "inline.seg";
        using var file = _directory.Create(name, _segmentBytes);
        return name;
    }

    private void RemoveLeftovers()
    {
        foreach (var name in _directory.List())
        {
            var isOld = SegmentHeader.TryParseName(name, out var sequence) && sequence < _stamp.FirstSegment;
            if (isOld || name is "inline.seg" or SpareName or SparePreparer.UnfinishedName)
            {
                _directory.Delete(name);
            }
        }
    }

    private void ClearBehindTail()
    {
        var block = new byte[ZeroBlockBytes];
        for (var offset = _tail; offset < _length; offset += block.Length)
        {
            var read = _file!.Read(offset, block.AsSpan(0, (int)Math.Min(block.Length, _length - offset)));
            if (block.AsSpan(0, read).ContainsAnyExcept((byte)0))
            {
                block.AsSpan().Clear();
                _file.Write(offset, block.AsSpan(0, read));
            }
        }

        // Always: what recovery read may stand in the kernel's memory only, left by a process that was killed, and from here on it counts as durable.
        _file!.Sync();
    }
}
