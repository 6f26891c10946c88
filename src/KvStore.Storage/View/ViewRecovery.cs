using KvStore.Core.Identity;

namespace KvStore.Storage.View;

/// <summary>
/// Finds the shards' markers when the store is opened, and removes what an unfinished install or removal left behind.
/// </summary>
internal static class ViewRecovery
{
    public static Dictionary<ShardId, ViewMarker> Run(ViewStore store, IReadOnlyDictionary<ShardId, ulong> removed)
    {
        var markers = new Dictionary<ShardId, ViewMarker>();
        var changed = false;
        using var batch = store.NewBatch();
        using (var snapshot = store.Snapshot())
        {
            ulong next = 0;
            while (FirstFrom(snapshot, ViewKeys.Prefix(next, 0), ViewKeys.Prefix(ulong.MaxValue, 0)) is { } first)
            {
                var shard = ViewKeys.Shard(first.Key);
                var id = ShardId.FromPacked(shard);
                next = shard + 1;
                var marker = ViewKeys.Generation(first.Key) == 0 ? ViewMarker.Decode(first.Record) : default;
                if (marker.Generation == 0 || (removed.TryGetValue(id, out var generation) && marker.Generation <= generation))
                {
                    batch.RemoveRange(ViewKeys.Marker(shard), ViewKeys.Prefix(next, 0));
                    changed = true;
                    continue;
                }

                markers.Add(id, marker);
                changed |= RemoveIfAny(snapshot, batch, ViewKeys.Prefix(shard, 1), ViewKeys.Prefix(shard, marker.Generation));
                changed |= RemoveIfAny(snapshot, batch, ViewKeys.Prefix(shard, marker.Generation + 1), ViewKeys.Prefix(next, 0));
            }
        }

        if (changed)
        {
            // Durable before the log may forget why.
            batch.Commit();
            store.Flush();
        }

        return markers;
    }

    private static bool RemoveIfAny(ViewSnapshot snapshot, ViewBatch batch, byte[] from, byte[] to)
    {
        if (from.AsSpan().SequenceCompareTo(to) < 0 && FirstFrom(snapshot, from, to) is not null)
        {
            batch.RemoveRange(from, to);
            return true;
        }

        return false;
    }

    private static Found? FirstFrom(ViewSnapshot snapshot, byte[] from, byte[] to)
    {
        Found? result = null;
        snapshot.Visit(from, to, (key, record) =>
        {
            result = new Found(key.ToArray(), record.ToArray());
            return false;
        });
        return result;
    }

    private sealed record Found(byte[] Key, byte[] Record);
}
