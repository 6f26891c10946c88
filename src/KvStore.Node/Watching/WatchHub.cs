using System.Collections.Concurrent;
using System.Threading.Channels;
using Grpc.Net.Client;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Core.Replicas.Watching;
using KvStore.Node.Catalog;
using KvStore.Node.Clients;
using KvStore.Node.Loops;

namespace KvStore.Node.Watching;

/// <summary>
/// The watches of this node. Memory is bounded by the windows (one budget for all) and by the number of watches, each of which is a few kilobytes. A clock looks after those that wait or are idle, and sends away those whose replica is no
/// longer fit to be watched.
/// </summary>
internal sealed class WatchHub : IDisposable
{
    /// <summary>One shard's window: enough for a second of changes at the rate of one core.</summary>
    private const int MostChanges = 32_768;

    private const long ShardBytes = 8 * 1_048_576;

    /// <summary>How often the clock looks.</summary>
    private const int LookMs = 500;

    /// <summary>A reader whose replica has not come to what it was told elsewhere is told of a gap.</summary>
    private const long LongestWaitMs = 5_000;

    private const int CatchUpMs = 3_000;

    private const long ProgressEveryMs = 15_000;

    private readonly LoopSet _loops;
    private readonly OperationExecutor _executor;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly int _most;
    private readonly WindowBudget _budget;
    private readonly ConcurrentDictionary<ShardId, ShardFeed> _feeds = new();
    private readonly ConcurrentDictionary<string, GrpcChannel> _channels = new();
    private readonly CancellationTokenSource _stop = new();

    /// <summary>Has an item since a first watch was opened: the clock, which stands still without any, looks again.</summary>
    private readonly Channel<bool> _begun = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    private int _open;
    private long _progressDueMs;

    public WatchHub(LoopSet loops, OperationExecutor executor, TimeProvider time, int most, long windowBytes, ILogger log)
    {
        _loops = loops;
        _executor = executor;
        _time = time;
        _log = log;
        _most = most;
        IsEnabled = windowBytes > 0;
        _budget = new WindowBudget(windowBytes) { Adder = static (ref long total, long bytes) => Interlocked.Add(ref total, bytes) };
        WatchMetrics.Register(this);
    }

    public NodeId Self => _loops.Self;

    /// <summary>Changes are kept for watches.</summary>
    public bool IsEnabled { get; }

    /// <summary>Streams at present.</summary>
    public int Open => Volatile.Read(ref _open);

    public long WindowBytes => _budget.Bytes;

    public void Start()
    {
        if (IsEnabled)
        {
            _ = Task.Run(LookAsync);
        }
    }

    /// <summary>The loop: a replica was opened.</summary>
    public ShardFeed? CreateFeed(ShardId shard) => IsEnabled ? _feeds.GetOrAdd(shard, id => new ShardFeed(id, new ChangeWindow(MostChanges, Math.Min(ShardBytes, _budget.MaxBytes), _budget))) : null;

    /// <summary>Opens a watch.</summary>
    /// <exception cref="WatchRefusedException">It can't be served here, or not now.</exception>
    public async Task<WatchStream> OpenAsync(WatchRequest request, CancellationToken cancellation)
    {
        if (!IsEnabled)
        {
            throw new WatchRefusedException(Code.LevelNotOffered, "This node keeps no changes for watches (--watch-window-bytes 0).");
        }

        WatchPlan plan = WatchPlan.Of(request, _loops.Router, _time);
        int open = Interlocked.Increment(ref _open);
        if (open > _most)
        {
            Interlocked.Decrement(ref _open);
            throw new WatchRefusedException(Code.Overloaded, $"This node already serves {_most} watches (--max-watches); ask another one.", retryable: true);
        }

        if (open == 1)
        {
            _begun.Writer.TryWrite(true);
        }

        var stream = new WatchStream(this, plan);
        try
        {
            await FillAsync(stream, request, cancellation);
            return stream;
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    /// <summary>A stream has ended.</summary>
    public void OnClosed() => Interlocked.Decrement(ref _open);

    /// <summary>Reads a page of what a replica holds, on its loop.</summary>
    public void RequestPage(ShardId shard, ReadOnlyMemory<byte> prefix, ReadOnlyMemory<byte> after, int most, Action<WatchPage> then) => _loops.LoopOf(shard).Post(loop => loop.ScanForWatch(shard, prefix, after, most, KvLimits.MaxScanBytes / 4, then));

    /// <summary>The node stops in good order: clients go elsewhere at once.</summary>
    public void EndAll()
    {
        foreach (ShardFeed feed in _feeds.Values)
        {
            feed.EndAll(new Refusal { Code = Code.ShuttingDown, Reason = "The node is shutting down." });
        }
    }

    public void Dispose()
    {
        WatchMetrics.Forget(this);
        _stop.Cancel();
        foreach (GrpcChannel channel in _channels.Values)
        {
            channel.Dispose();
        }
    }

    private async Task FillAsync(WatchStream stream, WatchRequest request, CancellationToken cancellation)
    {
        Dictionary<NodeId, List<int>> elsewhere = [];
        foreach (int shard in stream.Plan.Shards)
        {
            CatalogReplica[] replicas = [.. stream.Plan.Keyspace.Shards[shard]];
            if (Array.Exists(replicas, replica => replica.Node == Self))
            {
                if (stream.Plan.InitialValues && !stream.Plan.Positions.ContainsKey(shard))
                {
                    await CatchUpAsync(stream.Plan.Keyspace, shard, cancellation);
                }

                await AddAsync(stream, new ShardId(stream.Plan.Keyspace.Id, shard), cancellation);
            }
            else if (stream.Plan.LocalOnly || replicas.Length == 0)
            {
                throw new WatchRefusedException(Code.WrongNode, $"Node {Self.Value} has no replica of shard {shard}.", retryable: true);
            }
            else
            {
                NodeId node = await _loops.NearestReplicaNodeAsync(new ShardId(stream.Plan.Keyspace.Id, shard));
                (elsewhere.TryGetValue(node, out List<int>? shards) ? shards : elsewhere[node] = []).Add(shard);
            }
        }

        foreach ((NodeId node, List<int> shards) in elsewhere)
        {
            stream.Add(RelayTo(node, shards, request));
        }
    }

    /// <summary>
    /// What the keys of an ordered shard hold is told as of now: this replica asks the leader how far it must have applied, and waits for that. An open shard shows what the replica has.
    /// </summary>
    private async Task CatchUpAsync(CatalogKeyspace keyspace, int shard, CancellationToken cancellation)
    {
        if (keyspace.Mode.Partition == Core.Policy.PartitionChoice.Ap)
        {
            return;
        }

        var asked = new WireOperation
        {
            Kind = OperationKind.Scan,
            KeyspaceId = keyspace.Id,
            Shard = (uint)shard,
            Limit = 1,
            Level = ReadLevel.Linearizable,
            ServeAtReplica = true,
            TimeoutMs = CatchUpMs,
        };
        Result answer = await _executor.ExecuteAsync(asked, cancellation);
        if (answer.Outcome != Outcome.Done && answer.Code != Code.LevelNotOffered)
        {
            throw new WatchRefusedException(answer.Code, answer.Reason, retryable: true);
        }
    }

    private async Task AddAsync(WatchStream stream, ShardId shard, CancellationToken cancellation)
    {
        // A replica that was just created is there in a moment.
        Refusal? unfit = null;
        for (int tries = 0; tries < 20; tries++)
        {
            unfit = await LoopSet.RunAsync(_loops.LoopOf(shard), loop => UnfitOf(loop, shard)).WaitAsync(cancellation);
            if (unfit is null && _feeds.TryGetValue(shard, out ShardFeed? feed))
            {
                bool known = stream.Plan.Positions.TryGetValue(shard.Number, out WatchPosition? position);
                var watcher = new ShardWatcher(stream, feed, stream.Plan.Range, stream.Plan.InitialValues, stream.Plan.Resumes && !known && !stream.Plan.InitialValues);
                if (feed.TryAdd(watcher, position))
                {
                    stream.Add(watcher);
                    watcher.Start(known);
                    return;
                }
            }

            using var pause = new PeriodicTimer(TimeSpan.FromMilliseconds(50), _time);
            await pause.WaitForNextTickAsync(cancellation);
        }

        throw new WatchRefusedException(unfit?.Code ?? Code.Recovering, unfit?.Reason ?? "This replica is still reading its data.", retryable: true);
    }

    private WatchRelay RelayTo(NodeId node, List<int> shards, WatchRequest request)
    {
        CatalogMember member = _loops.Router.Catalog.Members.FirstOrDefault(member => member.Node == node)
            ?? throw new WatchRefusedException(Code.NoQuorum, $"No node that has shard {shards[0]} can be reached.", retryable: true);
        WatchRequest relayed = request.Clone();
        relayed.LocalOnly = true;
        relayed.Shards.Clear();
        relayed.Shards.AddRange(shards.Select(shard => (uint)shard));
        return new WatchRelay(_channels.GetOrAdd(member.Address, Peers.PeerChannel.ForWatches), relayed, node.Value);
    }

    /// <summary>On the loop.</summary>
    private static Refusal? UnfitOf(ShardLoop loop, ShardId shard)
    {
        if (loop.Find(shard) is not { Watch: { } watch } replica)
        {
            return new Refusal { Code = Code.Recovering, Reason = "This node has not opened its replica of the shard yet." };
        }

        return replica.FencedBecause is { } fenced ? new Refusal { Code = Code.StorageFailed, Reason = $"This replica has stopped serving: {fenced}" }
            : watch.Unfit is { } reason ? new Refusal { Code = replica.IsActive ? Code.NoLeader : Code.Recovering, Reason = reason }
            : null;
    }

    private async Task LookAsync()
    {
        try
        {
            while (true)
            {
                await _begun.Reader.ReadAsync(_stop.Token);
                using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(LookMs), _time);
                while (Open > 0)
                {
                    await look.WaitForNextTickAsync(_stop.Token);
                    TryLook();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The node stops.
        }
    }

    /// <summary>One look that fails is no reason not to look again.</summary>
    private void TryLook()
    {
        try
        {
            Look(_loops.Scheduler.NowMs);
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            WatchLog.LookFailed(_log, failure, LookMs);
        }
    }

    private void Look(long nowMs)
    {
        bool progress = nowMs >= _progressDueMs;
        _progressDueMs = progress ? nowMs + ProgressEveryMs : _progressDueMs;
        foreach (IGrouping<ShardLoop, ShardFeed> watched in _feeds.Values.Where(feed => feed.IsWatched).GroupBy(feed => _loops.LoopOf(feed.Shard)))
        {
            (ShardFeed Feed, bool Waits)[] feeds = [.. watched.Select(feed => (feed, feed.GiveUpWaiting(nowMs, LongestWaitMs)))];
            watched.Key.Post(loop => Look(loop, feeds));
            if (progress)
            {
                Array.ForEach(feeds, each => each.Feed.ProgressAll());
            }
        }
    }

    /// <summary>On the loop.</summary>
    private static void Look(ShardLoop loop, (ShardFeed Feed, bool Waits)[] feeds)
    {
        foreach ((ShardFeed feed, bool waits) in feeds)
        {
            if (UnfitOf(loop, feed.Shard) is { } unfit)
            {
                feed.EndAll(unfit);
            }
            else if (waits)
            {
                loop.MarkForWatch(feed.Shard);
            }
        }
    }
}
