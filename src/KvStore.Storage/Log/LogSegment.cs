using KvStore.Core.Replicas;

namespace KvStore.Storage.Log;

/// <summary>What the process knows of one segment: up to where each shard's records in it reach. It may go once all of them are released.</summary>
internal sealed class LogSegment(SegmentHeader header)
{
    private readonly Dictionary<ulong, ShardExtent> _extents = [];
    private ulong _lastShard = ulong.MaxValue;
    private ShardExtent? _lastExtent;

    public SegmentHeader Header { get; } = header;

    public uint Seed { get; } = header.Seed;

    public IEnumerable<KeyValuePair<ulong, ShardExtent>> Extents => _extents;

    public void Note(ReadOnlySpan<byte> record)
    {
        var kind = LogFormat.Kind(record);
        if (kind is not (LogRecordKind.Entry or LogRecordKind.Dotted or LogRecordKind.LostWrite or LogRecordKind.Overlay))
        {
            return;
        }

        var extent = ExtentOf(LogFormat.Shard(record));
        var index = LogFormat.Index(record).Value;
        if (kind is not (LogRecordKind.Dotted or LogRecordKind.Overlay))
        {
            extent.Entries = Math.Max(extent.Entries, index);
        }
        else
        {
            extent.Dotted = Math.Max(extent.Dotted, index);
        }
    }

    /// <summary>Nobody needs this shard's records in here any more.</summary>
    public void Forget(ulong shard)
    {
        _extents.Remove(shard);
        _lastShard = ulong.MaxValue;
        _lastExtent = null;
    }

    private ShardExtent ExtentOf(ulong shard)
    {
        // Records of one shard come in runs, so most look-ups end here.
        if (_lastExtent is not null && _lastShard == shard)
        {
            return _lastExtent;
        }

        if (!_extents.TryGetValue(shard, out var extent))
        {
            extent = new ShardExtent();
            _extents.Add(shard, extent);
        }

        _lastShard = shard;
        _lastExtent = extent;
        return extent;
    }
}

/// <summary>The highest numbers of one shard's records in one segment.</summary>
internal sealed class ShardExtent
{
    public ulong Entries { get; set; }

    public ulong Dotted { get; set; }
}
