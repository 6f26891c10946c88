using System.Collections.Concurrent;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Storage.Engine;
using KvStore.Storage.Log;
using KvStore.Storage.View;

namespace KvStore.Storage;

/// <summary>
/// A node's storage: one log and one view for all its replicas. Each shard loop gets a <see cref="StorageLoop"/>, from which it opens its replicas. Reading order: Log/WriteAheadLog (durability),
/// View/ViewWriter (the way to the view), ReplicaStorage (the seam).
/// </summary>
public sealed class NodeStorage : IDisposable
{
    private static readonly TimeSpan FreeSpaceAge = TimeSpan.FromSeconds(1);

    private readonly StorageOptions _options;
    private readonly ILogDirectory _directory;
    private readonly DirectoryLock? _lock;
    private readonly LogSegments _segments;
    private readonly Dictionary<ShardId, ViewMarker> _markers;
    private readonly Dictionary<ShardId, List<RecoveredRecord>> _records;
    private readonly ConcurrentDictionary<ShardId, uint> _generations = new();
    private readonly ConcurrentBag<StorageLoop> _loops = [];
    private readonly Lock _recoveredGate = new();
    private long _freeSpaceSeen;
    private int _diskLow;
    private int _loopCount;

    private NodeStorage(StorageOptions options, ILogDirectory directory, DirectoryLock? directoryLock, DataStamp stamp, bool wasClosed, RecoveredLog recovered, ViewStore store)
    {
        _options = options;
        _directory = directory;
        _lock = directoryLock;
        DirectoryId = stamp.DirectoryId;
        Incarnation = stamp.Incarnation;
        WasCleanShutdown = wasClosed;
        _records = recovered.Records;
        _markers = ViewRecovery.Run(store, recovered.Removed);
        foreach (var (shard, generation) in recovered.Removed)
        {
            _generations[shard] = (uint)generation;
        }

        RecoveredShards = [.. _records.Keys.Union(_markers.Keys).Order()];
        var identity = LogIdentity.Of(options.ClusterId, options.NodeId);
        _segments = LogSegments.Open(directory, identity, stamp, options.EffectiveSegmentBytes, options.Scheduler, Health, recovered);
        Log = new WriteAheadLog(
            new LogWriterSetup(_segments, recovered.Carried, recovered, Views, Health, options.EffectiveSegmentBytes, options.EffectiveRetainedLogBytes),
            options.Scheduler,
            options.MaxUnsyncedBytes);
        Store = store;
        Reader = new ViewReader(store, Health, options.Scheduler);
        Flusher = new ViewFlusher(store, Views, Health, options.Scheduler) { Log = Log.Writer };
        Writer = new ViewWriter(store, Reader, Flusher, Views, Health, options.Scheduler);
        Log.Writer.WantsViewFlush = Flusher.Request;
        Log.Writer.MadeDurable = Writer.WakeIfWaiting;
    }

    /// <summary>Drawn at random when the data directory was made: another directory of the same node has another one. Never zero.</summary>
    public ulong DirectoryId { get; }

    /// <summary>
    /// How many batches of the log are durable, over the whole life of the data directory. It never goes back, unless an older copy of the directory takes its place. From any thread.
    /// </summary>
    public ulong DurableBatch => Log.Writer.DurableBatch;

    /// <summary>How often this data directory was opened, this time included.</summary>
    public ulong Incarnation { get; }

    /// <summary>Whether the last process closed its storage. False on the first start and after a crash.</summary>
    public bool WasCleanShutdown { get; }

    /// <summary>The shards of which log or view holds something, in order.</summary>
    public IReadOnlyList<ShardId> RecoveredShards { get; }

    /// <summary>More is waiting for the disk than should: refuse new writes until it has caught up. From any thread.</summary>
    public bool IsOverloaded => Log.IsOverloaded || Writer.DirtyBytes > _options.MaxDirtyBytes;

    /// <summary>The error that ended storage's work, or null.</summary>
    public Exception? Error => Health.Error;

    /// <summary>Whether free space is below the bound, as of the last second. From any thread.</summary>
    public bool IsDiskLow
    {
        get
        {
            var time = _options.Scheduler.Time;
            var seen = Interlocked.Read(ref _freeSpaceSeen);
            if (seen == 0 || time.GetElapsedTime(seen) > FreeSpaceAge)
            {
                Interlocked.Exchange(ref _freeSpaceSeen, time.GetTimestamp());
                Volatile.Write(ref _diskLow, _directory.FreeBytes < _options.LowSpaceBytes ? 1 : 0);
            }

            return Volatile.Read(ref _diskLow) != 0;
        }
    }

    public StorageStats Stats => new(
        Log.Writer.BytesWritten,
        Log.Writer.Syncs,
        Log.Writer.LastSyncLatency,
        _segments.RetainedBytes,
        Log.UnsyncedBytes,
        Writer.DirtyBytes,
        _loops.Sum(loop => loop.TableBytes));

    internal StorageHealth Health { get; } = new();

    internal ReplicaViews Views { get; } = new();

    internal WriteAheadLog Log { get; }

    internal ViewStore Store { get; }

    internal ViewReader Reader { get; }

    internal ViewFlusher Flusher { get; }

    internal ViewWriter Writer { get; }

    internal StorageScheduler Scheduler => _options.Scheduler;

    internal long PreloadBytes => _options.PreloadBytes;

    /// <summary>A loop's share of the tables' budget.</summary>
    internal long TableBudget => _options.TableBytes / Math.Max(1, Volatile.Read(ref _loopCount));

    internal bool HasOldSegments => _segments.HasReleasable;

    /// <summary>Opens the storage of a node and recovers what the last process left. Takes as long as it takes to read the log.</summary>
    /// <exception cref="StorageRefusedException">The directory is another node's or cluster's, of another format, damaged in its stamp, or in use.</exception>
    /// <exception cref="LogCorruptException">The log is damaged. Nothing was changed.</exception>
    public static NodeStorage Open(StorageOptions options)
    {
        options.Validate();
        if (options.Engine == StorageEngine.Memory)
        {
            var disk = options.Disk ?? new SimulatedDisk();
            return Open(options, disk, null, "in memory", () => disk.View);
        }

        var root = Path.GetFullPath(options.Directory!);
        Directory.CreateDirectory(root);
        var held = DirectoryLock.Take(root);
        try
        {
            var log = new DiskLogDirectory(Path.Combine(root, "log"));
            return Open(options, log, held, root, () => new RocksViewStore(Path.Combine(root, "view")));
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    public StorageLoop CreateLoop(IStorageSink sink)
    {
        Interlocked.Increment(ref _loopCount);
        Health.Add(sink);
        var loop = new StorageLoop(this, sink);
        _loops.Add(loop);
        return loop;
    }

    /// <summary>Reads a small file beside the log; null if there is none.</summary>
    public byte[]? ReadNote(string name, int maxBytes) => SmallFile.Read(_directory, name, maxBytes);

    /// <summary>Replaces a small file beside the log in one step; it is durable on return. Blocks: not for a shard loop.</summary>
    /// <exception cref="IOException">The disk refused it; the old file is still there.</exception>
    public void WriteNote(string name, ReadOnlySpan<byte> bytes) => SmallFile.Replace(_directory, name, bytes);

    /// <summary>Whether the last process left something of a shard that was neither opened nor removed since. From any thread.</summary>
    public bool HoldsRecovered(ShardId shard)
    {
        lock (_recoveredGate)
        {
            return _markers.ContainsKey(shard) || _records.ContainsKey(shard);
        }
    }

    /// <summary>
    /// Whether the shard was removed here, by this process or by an earlier one whose log still says so. The log forgets it only after everything before it is in the view for good. From any thread.
    /// </summary>
    public bool WasRemoved(ShardId shard) => _generations.ContainsKey(shard);

    /// <summary>Asks for a flush of the view, after which <see cref="IReplicaStorage.DurablePosition"/> has advanced.</summary>
    public void RequestFlush() => Flusher.Request();

    /// <summary>
    /// Closes in good order: everything appended becomes durable, everything sealed is flushed. The loops have stopped. What was put and not sealed is left to the next start's replay.
    /// </summary>
    public void Dispose()
    {
        if (!Health.IsStopped)
        {
            foreach (var loop in _loops)
            {
                loop.Submit();
            }

            Log.Writer.Drain();
            Writer.RunInline();
            Reader.RunInline();
            Flusher.Request();
            Flusher.RunInline();
            Log.Writer.Drain();
            CloseLog();
        }

        Release();
    }

    /// <summary>Stops as if the process had died: nothing more is written, flushed or reported. For simulators and tests.</summary>
    public void Abandon() => Release();

    internal RecoveredReplica TakeRecovered(ShardId shard, out ViewMarker marker)
    {
        lock (_recoveredGate)
        {
            _markers.Remove(shard, out marker);
            if (marker.Generation == 0)
            {
                marker = new ViewMarker(_generations.GetValueOrDefault(shard) + 1, ViewPosition.Zero);
            }

            return _records.Remove(shard, out var records) || marker.Position != ViewPosition.Zero ? new RecoveredReplica(marker.Position, records ?? []) : RecoveredReplica.Empty;
        }
    }

    internal void NoteRemoved(ReplicaView view)
    {
        _generations[view.Shard] = view.LastGeneration;
        Views.Remove(view);
    }

    private static NodeStorage Open(StorageOptions options, ILogDirectory directory, DirectoryLock? held, string place, Func<ViewStore> openStore)
    {
        var identity = LogIdentity.Of(options.ClusterId, options.NodeId);
        var files = directory.List();
        DataStamp stamp;
        var recovered = new RecoveredLog();
        if (files.Contains(DataStamp.FileName))
        {
            stamp = DataStamp.Read(directory, options.ClusterId, options.NodeId, options.Generation, place);
            if (stamp.LastSegment > 0)
            {
                recovered = LogRecovery.Read(directory, identity, stamp);
            }
        }
        else if (files.Any(file => SegmentHeader.TryParseName(file, out _)))
        {
            throw new StorageRefusedException(
                $"The data directory {place} holds a log but no {DataStamp.FileName}: restore the file, or remove this node from the cluster and add it again with an empty data directory.");
        }
        else
        {
            stamp = new DataStamp(options.ClusterId, options.NodeId, (ulong)Random.Shared.NextInt64(1, long.MaxValue), options.Generation, 0, false, 0, 0);
        }

        var wasClosed = stamp.WasClosed;
        var last = recovered.Segments.Count == 0 ? stamp.LastSegment : recovered.Segments[^1].Header.Sequence;
        stamp = stamp with { Incarnation = stamp.Incarnation + 1, WasClosed = false, LastSegment = last };
        stamp.Save(directory);
        var store = openStore();
        try
        {
            return new NodeStorage(options, directory, held, stamp, wasClosed, recovered, store);
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    private void CloseLog()
    {
        if (Health.IsStopped)
        {
            return;
        }

        try
        {
            _segments.SaveClosed();
        }
        catch (IOException error)
        {
            Health.Fail(error);
        }
    }

    private void Release()
    {
        // Each run in progress ends first; those that come later find the node stopped.
        Health.Stop();
        Log.Writer.RunInline();
        Writer.RunInline();
        Reader.RunInline();
        Flusher.RunInline();
        Reader.CancelAll();
        foreach (var loop in _loops)
        {
            loop.ReleaseViews();
        }

        _segments.Dispose();
        Store.Dispose();
        _lock?.Dispose();
    }
}
