using System.Collections.Concurrent;
using KvStore.Core;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Storage.Log;
using KvStore.Storage.View;

namespace KvStore.Storage;

/// <summary>One shard loop's end of the storage. All calls come from that loop; none blocks.</summary>
public sealed class StorageLoop
{
    /// <summary>How many slots a step may look at to bring the tables back under their budget.</summary>
    private const int SweepVisits = 4096;

    private readonly NodeStorage _node;
    private readonly IStorageSink _sink;
    private readonly List<ReplicaStorage> _replicas = [];
    private readonly ConcurrentQueue<Arrival> _arrivals = new();
    private int _arrived;
    private int _nextSweep;
    private long _tableBytes;

    internal StorageLoop(NodeStorage node, IStorageSink sink)
    {
        _node = node;
        _sink = sink;
        Log = new LogAppender(node.Log, sink);
    }

    /// <summary>The position of the last append of this loop that would survive a power loss.</summary>
    public LogPosition DurablePosition => Log.Durable;

    /// <summary>The position of the last append of this loop.</summary>
    public LogPosition AppendedPosition => Log.Appended;

    /// <summary>Memory of this loop's tables as of the last step, in bytes. From any thread.</summary>
    public long TableBytes => Interlocked.Read(ref _tableBytes);

    internal LogAppender Log { get; }

    internal NodeStorage Node => _node;

    /// <summary>Opens a shard's storage on this loop, with what the last process left of it. Reads the view if it is small, so it may take some milliseconds.</summary>
    public IReplicaStorage OpenReplica(ShardId shard, out RecoveredReplica recovered)
    {
        Invariant.Assert(_replicas.TrueForAll(open => open.Shard != shard));
        recovered = _node.TakeRecovered(shard, out var marker);
        var view = new ReplicaView(shard, _sink, marker.Generation, marker.Position);
        _node.Views.Add(view);
        var replica = new ReplicaStorage(this, view);
        if (marker.Position != ViewPosition.Zero)
        {
            replica.Preload(_node.PreloadBytes);
        }

        _replicas.Add(replica);
        return replica;
    }

    /// <summary>Forgets the shard, its log and its view, for good. Its storage must not be used any more; the shard may be opened anew.</summary>
    public void RemoveReplica(ShardId shard)
    {
        var index = _replicas.FindIndex(open => open.Shard == shard);
        Invariant.Assert(index >= 0);
        var replica = _replicas[index];
        _replicas.RemoveAt(index);
        replica.Close();
        replica.View.Mute();
        Remove(replica.View);
    }

    /// <summary>As <see cref="RemoveReplica"/>, for a shard that the last process left and that is not open. Its view is not read.</summary>
    /// <returns>False: nothing was left of it.</returns>
    public bool RemoveRecovered(ShardId shard)
    {
        Invariant.Assert(_replicas.TrueForAll(open => open.Shard != shard));
        if (!_node.HoldsRecovered(shard))
        {
            return false;
        }

        _node.TakeRecovered(shard, out var marker);
        Remove(new ReplicaView(shard, _sink, marker.Generation, marker.Position));
        return true;
    }

    /// <summary>At the end of each loop step: hands what was appended to the log's writer, and keeps the tables within their budget.</summary>
    public void Submit()
    {
        Log.Submit();
        TakeArrivals();
        long bytes = 0;
        foreach (var replica in _replicas)
        {
            replica.ForgetWrittenRemovals();
            bytes += replica.TableBytes;
        }

        bytes = Sweep(bytes);
        Interlocked.Exchange(ref _tableBytes, bytes);
    }

    internal void Arrive(in Arrival arrival)
    {
        _arrivals.Enqueue(arrival);
        Interlocked.Increment(ref _arrived);
    }

    /// <summary>What the background brought. Called before every look into a table, so that an event is never ahead of its data.</summary>
    internal void TakeArrivals()
    {
        if (Volatile.Read(ref _arrived) == 0)
        {
            return;
        }

        Interlocked.Exchange(ref _arrived, 0);
        while (_arrivals.TryDequeue(out var arrival))
        {
            arrival.Replica.Accept(arrival);
        }
    }

    internal void ReleaseViews()
    {
        foreach (var replica in _replicas)
        {
            replica.View.Pinned?.Release();
            replica.View.Pinned = null;
        }
    }

    private void Remove(ReplicaView view)
    {
        _node.NoteRemoved(view);
        Log.Append(view.Shard.Packed, LogFormat.ShardRemoved, Term.Zero, new LogIndex(view.LastGeneration), default, SyncUrgency.Now);
        _node.Writer.Order(new RemoveView(view, Log));
    }

    private long Sweep(long bytes)
    {
        var excess = bytes - _node.TableBudget;
        var visits = SweepVisits;
        for (var turns = _replicas.Count; turns > 0 && excess > 0 && visits > 0; turns--)
        {
            _nextSweep = _nextSweep + 1 < _replicas.Count ? _nextSweep + 1 : 0;
            var replica = _replicas[_nextSweep];
            var before = replica.TableBytes;
            visits -= replica.Sweep(visits, excess);
            excess -= before - replica.TableBytes;
            bytes -= before - replica.TableBytes;
        }

        return bytes;
    }
}

/// <summary>What the background hands to a loop: a loaded record, or (without one) the end of an install.</summary>
internal readonly record struct Arrival(ReplicaStorage Replica, LoadRead? Load);
