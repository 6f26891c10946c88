using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Storage.Engine;

namespace KvStore.Storage.Log;

/// <summary>What the log holds after a restart.</summary>
internal sealed class RecoveredLog
{
    public List<LogSegment> Segments { get; } = [];

    public CarriedRecords Carried { get; } = new();

    public Dictionary<ShardId, List<RecoveredRecord>> Records { get; } = [];

    /// <summary>Shards that were removed, with the generation their view had then.</summary>
    public Dictionary<ShardId, ulong> Removed { get; } = [];

    /// <summary>The number of the last batch found.</summary>
    public ulong LastBatch { get; set; }

    /// <summary>Whether the last record found is a mark, so that damage to the batch before it would show.</summary>
    public bool EndsWithMark { get; set; }

    /// <summary>Where the next record goes in the last segment.</summary>
    public long Tail { get; set; }
}

/// <summary>
/// Reads the whole log and decides whether what it sees can be explained by a crash. It changes nothing.
/// </summary>
/// <remarks>
/// One batch is in flight at a time and begins with a numbered mark. So the first bad record is a torn write only if no mark with a higher number follows it in the last segment;
/// any other bad record had been durable and was damaged since. The writer adds a mark when it falls idle, which narrows the window in which damage to the very last batch looks like tearing.
/// </remarks>
internal sealed class LogRecovery(ILogDirectory directory, LogIdentity identity)
{
    private readonly RecoveredLog _result = new();
    private byte[] _buffer = [];

    public static RecoveredLog Read(ILogDirectory directory, LogIdentity identity, DataStamp stamp)
    {
        var recovery = new LogRecovery(directory, identity);
        recovery.ReadAll(stamp);
        return recovery._result;
    }

    private void ReadAll(DataStamp stamp)
    {
        var sequences = new List<ulong>();
        foreach (var name in directory.List())
        {
            if (SegmentHeader.TryParseName(name, out var sequence) && sequence >= stamp.FirstSegment)
            {
                sequences.Add(sequence);
            }
        }

        sequences.Sort();
        for (var i = 0; i < Math.Max(sequences.Count, (int)(stamp.LastSegment - stamp.FirstSegment + 1)); i++)
        {
            var expected = stamp.FirstSegment + (ulong)i;
            if (i >= sequences.Count || sequences[i] != expected)
            {
                throw new LogCorruptException(SegmentHeader.NameOf(expected), 0, "the file is missing");
            }
        }

        for (var i = 0; i < sequences.Count; i++)
        {
            ReadSegment(sequences[i], i == 0, i == sequences.Count - 1);
        }
    }

    private void ReadSegment(ulong sequence, bool isFirst, bool isLast)
    {
        var name = SegmentHeader.NameOf(sequence);
        using var file = directory.Open(name);

        if (_buffer.Length < file.Length)
        {
            _buffer = new byte[file.Length];
        }

        var bytes = _buffer.AsSpan(0, file.Read(0, _buffer));
        var header = SegmentHeader.Read(bytes, name, identity, sequence);
        var expectedBatch = isFirst ? header.FirstBatch : _result.LastBatch + 1;
        if (!isFirst && header.PreviousTail != _result.Tail)
        {
            throw new LogCorruptException(
                SegmentHeader.NameOf(sequence - 1), _result.Tail, $"a bad record stands there, and the file was complete up to offset {header.PreviousTail}");
        }

        if (header.FirstBatch != expectedBatch)
        {
            throw new LogCorruptException(name, 40, $"it begins with batch {header.FirstBatch} where batch {expectedBatch} must follow");
        }

        _result.LastBatch = header.FirstBatch - 1;
        var segment = new LogSegment(header);
        _result.Segments.Add(segment);
        var offset = SegmentHeader.PageBytes;
        while (LogFormat.Check(bytes[offset..], segment.Seed) is var total and > 0)
        {
            Take(segment, bytes.Slice(offset, total), name, offset, isFirst);
            offset += total;
        }

        if (isLast)
        {
            AssertNothingFollows(bytes, offset, segment.Seed, name);
        }

        _result.Tail = offset;
    }

    private void Take(LogSegment segment, ReadOnlySpan<byte> record, string name, long offset, bool isFirstSegment)
    {
        var kind = LogFormat.Kind(record);
        _result.EndsWithMark = kind == LogFormat.BatchMark;
        if (kind == LogFormat.BatchMark)
        {
            if (LogFormat.Index(record).Value != _result.LastBatch + 1)
            {
                throw new LogCorruptException(name, offset, $"batch {LogFormat.Index(record).Value} stands where batch {_result.LastBatch + 1} must");
            }

            _result.LastBatch++;
            return;
        }

        var shard = ShardId.FromPacked(LogFormat.Shard(record));
        _result.Carried.Note(record);
        if (kind == LogFormat.ShardRemoved)
        {
            _result.Records.Remove(shard);
            _result.Removed[shard] = LogFormat.Index(record).Value;
            foreach (var earlier in _result.Segments)
            {
                earlier.Forget(shard.Packed);
            }

            return;
        }

        segment.Note(record);
        if (LogFormat.IsCarried(record) && !isFirstSegment)
        {
            // The original, or an older copy, was read before.
            return;
        }

        if (!_result.Records.TryGetValue(shard, out var records))
        {
            records = [];
            _result.Records.Add(shard, records);
        }

        // Copied one by one, so that a replica that keeps a few of them does not keep the segment.
        var payload = record.Slice(LogFormat.HeaderBytes, LogFormat.PayloadBytes(record)).ToArray();
        records.Add(new RecoveredRecord(kind, LogFormat.Term(record), LogFormat.Index(record), payload));
    }

    private void AssertNothingFollows(ReadOnlySpan<byte> bytes, int bad, uint seed, string name)
    {
        for (var offset = bad; offset + LogFormat.HeaderBytes <= bytes.Length; offset += LogFormat.Alignment)
        {
            var candidate = bytes.Slice(offset, LogFormat.HeaderBytes);
            if (LogFormat.RawKind(candidate) == (byte)LogFormat.BatchMark
                && LogFormat.Check(candidate, seed) == LogFormat.HeaderBytes
                && LogFormat.Index(candidate).Value > _result.LastBatch)
            {
                throw new LogCorruptException(name, bad, $"batch {LogFormat.Index(candidate).Value} follows at offset {offset}, so what stood here had been durable");
            }
        }
    }
}
