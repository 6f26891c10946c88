using KvStore.Core.Identity;
using KvStore.Core.Replicas;

namespace KvStore.Storage.View;

/// <summary>
/// One replica's view as storage's background work and its loop both see it. Each member says who writes it.
/// </summary>
internal sealed class ReplicaView(ShardId shard, IStorageSink sink, uint generation, ViewPosition position)
{
    private readonly Lock _reports = new();
    private bool _isMuted;
    private Boxed _written = new(position);
    private Boxed _durable = new(position);
    private long _writtenSlice;
    private uint _generation = generation;
    private ulong _releasedEntries;
    private ulong _releasedDotted;

    public ShardId Shard { get; } = shard;

    /// <summary>Reports to the loop, unless the replica was removed: another one of the same shard may be open by then, to which it would mean something else. From any thread.</summary>
    public void Post(in StorageEvent report)
    {
        lock (_reports)
        {
            if (!_isMuted)
            {
                sink.Post(report);
            }
        }
    }

    /// <summary>The replica was removed: on return nothing is on its way to the loop that is not in its inbox.</summary>
    public void Mute()
    {
        lock (_reports)
        {
            _isMuted = true;
        }
    }

    /// <summary>Which records count. Written by the view writer.</summary>
    public uint Generation
    {
        get => Volatile.Read(ref _generation);
        set => Volatile.Write(ref _generation, value);
    }

    /// <summary>The highest generation that anything ordered so far can have used. Loop only.</summary>
    public uint LastGeneration { get; set; } = generation;

    /// <summary>The generation being installed, or zero. View writer only.</summary>
    public uint Staging { get; set; }

    /// <summary>View writer only.</summary>
    public PinnedView? Pinned { get; set; }

    /// <summary>The last slice that a read of the store would see. Written by the view writer.</summary>
    public long WrittenSlice => Volatile.Read(ref _writtenSlice);

    public ViewPosition WrittenPosition => Volatile.Read(ref _written).Position;

    /// <summary>Written by the flusher.</summary>
    public ViewPosition DurablePosition => Volatile.Read(ref _durable).Position;

    public ulong ReleasedEntries => Volatile.Read(ref _releasedEntries);

    public ulong ReleasedDotted => Volatile.Read(ref _releasedDotted);

    public void SetWritten(long slice, ViewPosition position)
    {
        Volatile.Write(ref _written, new Boxed(position));
        Volatile.Write(ref _writtenSlice, slice);
    }

    public void SetWritten(ViewPosition position) => Volatile.Write(ref _written, new Boxed(position));

    public void SetDurable(ViewPosition position) => Volatile.Write(ref _durable, new Boxed(position));

    /// <summary>From the loop. Returns whether anything changed.</summary>
    public bool Release(ulong entries, ulong dotted)
    {
        var changed = entries > _releasedEntries || dotted > _releasedDotted;
        Volatile.Write(ref _releasedEntries, Math.Max(entries, _releasedEntries));
        Volatile.Write(ref _releasedDotted, Math.Max(dotted, _releasedDotted));
        return changed;
    }

    /// <summary>Three numbers can't be read from another thread in one step, a reference can.</summary>
    private sealed record Boxed(ViewPosition Position);
}

/// <summary>A view that stays readable after the store has moved on. Freed when its last user lets go.</summary>
internal sealed class PinnedView(ulong id, ViewSnapshot snapshot, uint generation)
{
    private int _users = 1;

    public ulong Id { get; } = id;

    public ViewSnapshot Snapshot { get; } = snapshot;

    public uint Generation { get; } = generation;

    public void Retain() => Interlocked.Increment(ref _users);

    public void Release()
    {
        if (Interlocked.Decrement(ref _users) == 0)
        {
            Snapshot.Dispose();
        }
    }
}
