using System.Collections.Concurrent;
using KvStore.Storage.Log;

namespace KvStore.Storage.View;

/// <summary>All views of the node, and so the answer to which part of the log is still needed.</summary>
internal sealed class ReplicaViews
{
    private readonly ConcurrentDictionary<ulong, ReplicaView> _views = new();
    private int _pendingRemovals;
    private int _retentionChanged;

    public IEnumerable<ReplicaView> All => _views.Values;

    public void Add(ReplicaView view) => _views[view.Shard.Packed] = view;

    public void Remove(ReplicaView view)
    {
        Interlocked.Increment(ref _pendingRemovals);
        _views.TryRemove(new KeyValuePair<ulong, ReplicaView>(view.Shard.Packed, view));
    }

    /// <summary>A removed view is gone from the disk for good.</summary>
    public void EndRemoval() => Interlocked.Decrement(ref _pendingRemovals);

    public void NoteRetentionChanged() => Volatile.Write(ref _retentionChanged, 1);

    public bool TakeRetentionChanged() => Interlocked.Exchange(ref _retentionChanged, 0) != 0;

    /// <summary>
    /// Whether every replica can do without a segment: it has said so, and its view holds durably what the records did. A shard that was recovered and not opened yet needs everything; so does
    /// one whose removal is not durable in the view, because the record that says so may be in there.
    /// </summary>
    public bool HasReleased(LogSegment segment)
    {
        if (Volatile.Read(ref _pendingRemovals) > 0)
        {
            return false;
        }

        foreach (var (shard, extent) in segment.Extents)
        {
            if (!_views.TryGetValue(shard, out var view))
            {
                return false;
            }

            var durable = view.DurablePosition;
            if (extent.Entries > Math.Min(view.ReleasedEntries, durable.Applied.Value) || extent.Dotted > Math.Min(view.ReleasedDotted, durable.Dotted))
            {
                return false;
            }
        }

        return true;
    }
}
