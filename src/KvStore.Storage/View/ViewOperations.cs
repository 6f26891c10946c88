using KvStore.Core.Replicas;
using KvStore.Storage.Log;

namespace KvStore.Storage.View;

/// <summary>Writes a sealed slice and its position in one batch.</summary>
internal sealed class WriteSlice(ReplicaView view, LogAppender log, ViewSlice slice) : ViewOperation(view, log)
{
    public override void Run(ViewWriter writer)
    {
        slice.Sort();
        using (var batch = writer.Store.NewBatch())
        {
            // Keys are at most 4,096 bytes, but records of other spaces may have longer ones.
            Span<byte> inline = stackalloc byte[512];
            foreach (ref readonly var entry in slice.Entries)
            {
                var length = ViewKeys.PrefixBytes + entry.Key.Length;
                var key = length <= inline.Length ? inline[..length] : new byte[length];
                ViewKeys.WritePrefix(key, View.Shard.Packed, View.Generation);
                entry.Key.CopyTo(key[ViewKeys.PrefixBytes..]);
                if (entry.IsRemoved)
                {
                    batch.Remove(key);
                }
                else
                {
                    batch.Put(key, entry.Record);
                }
            }

            batch.Put(ViewKeys.Marker(View.Shard.Packed), new ViewMarker(View.Generation, slice.Position).Encode());
            batch.Commit();
        }

        View.SetWritten(slice.Number, slice.Position);
        writer.AddDirty(-slice.Bytes);
        writer.Return(slice);
    }
}

/// <summary>Freezes the view for a scan that stands at this place in the order, and leaves the reading to the reader.</summary>
internal sealed class StartScan(ReplicaView view, LogAppender log, ScanRequest request) : ViewOperation(view, log)
{
    public override void Run(ViewWriter writer)
    {
        if (request.PinnedView == 0)
        {
            writer.Reader.Order(new ScanRead(View, request, new PinnedView(0, writer.Store.Snapshot(), View.Generation)));
            return;
        }

        var pinned = View.Pinned;
        Core.Invariant.Assert(pinned is not null && pinned.Id == request.PinnedView);
        pinned.Retain();
        writer.Reader.Order(new ScanRead(View, request, pinned));
    }
}

internal sealed class StartPin(ReplicaView view, LogAppender log, ulong id) : ViewOperation(view, log)
{
    public override void Run(ViewWriter writer)
    {
        View.Pinned?.Release();
        View.Pinned = new PinnedView(id, writer.Store.Snapshot(), View.Generation);
    }
}

internal sealed class EndPin(ReplicaView view, LogAppender log, ulong id) : ViewOperation(view, log)
{
    public override void Run(ViewWriter writer)
    {
        if (View.Pinned is { } pinned && pinned.Id == id)
        {
            View.Pinned = null;
            pinned.Release();
        }
    }
}

/// <summary>A load that must see an install which was ordered before it.</summary>
internal sealed class LateLoad(ReplicaView view, LogAppender log, LoadRead load) : ViewOperation(view, log)
{
    public override void Run(ViewWriter writer) => writer.Reader.Order(load);
}

internal sealed class StartInstall(ReplicaView view, LogAppender log) : ViewOperation(view, log)
{
    public override void Run(ViewWriter writer)
    {
        if (View.Staging != 0)
        {
            using var batch = writer.Store.NewBatch();
            var left = ViewKeys.Prefix(View.Shard.Packed, View.Staging);
            batch.RemoveRange(left, ViewKeys.EndOf(left));
            batch.Commit();
        }

        // A number of its own for every attempt, so that nothing of a discarded one can be seen whatever is left of it.
        View.Staging = Math.Max(View.Generation, View.Staging) + 1;
    }
}

internal sealed class WriteInstall(ReplicaView view, LogAppender log, ViewSlice slice) : ViewOperation(view, log)
{
    public override void Run(ViewWriter writer)
    {
        using (var batch = writer.Store.NewBatch())
        {
            foreach (ref readonly var entry in slice.Entries)
            {
                var key = new byte[ViewKeys.PrefixBytes + entry.Key.Length];
                ViewKeys.WritePrefix(key, View.Shard.Packed, View.Staging);
                entry.Key.CopyTo(key, ViewKeys.PrefixBytes);
                batch.Put(key, entry.Record);
            }

            batch.Commit();
        }

        writer.AddDirty(-slice.Bytes);
        writer.Return(slice);
    }
}

/// <summary>Makes the installed records the view, and drops the old ones, in one batch.</summary>
internal sealed class SwitchInstall(ReplicaView view, LogAppender log, ViewPosition position, Action installed) : ViewOperation(view, log)
{
    public override void Run(ViewWriter writer)
    {
        using (var batch = writer.Store.NewBatch())
        {
            var old = ViewKeys.Prefix(View.Shard.Packed, View.Generation);
            batch.RemoveRange(old, ViewKeys.Prefix(View.Shard.Packed, View.Staging));
            batch.Put(ViewKeys.Marker(View.Shard.Packed), new ViewMarker(View.Staging, position).Encode());
            batch.Commit();
        }

        View.Generation = View.Staging;
        View.Staging = 0;
        View.SetWritten(position);
        writer.Flusher.Request(installed);
    }
}

internal sealed class RemoveView(ReplicaView view, LogAppender log) : ViewOperation(view, log)
{
    public override void Run(ViewWriter writer)
    {
        View.Pinned?.Release();
        View.Pinned = null;
        using (var batch = writer.Store.NewBatch())
        {
            batch.RemoveRange(ViewKeys.Marker(View.Shard.Packed), ViewKeys.Prefix(View.Shard.Packed + 1, 0));
            batch.Commit();
        }

        writer.Flusher.Request(writer.Views.EndRemoval);
    }
}
