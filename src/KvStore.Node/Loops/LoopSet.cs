using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Catalog;
using KvStore.Node.Peers;
using KvStore.Storage;

namespace KvStore.Node.Loops;

/// <summary>
/// The node's shard loops, and the clock that ticks them. A shard belongs to one loop for as long as the process lives.
/// The clock is coarse while no loop needs a fine one: a node whose groups are all quiet wakes once a second.
/// </summary>
internal sealed class LoopSet : IDisposable
{
    /// <summary>The period of the coarse clock. <see cref="Hosting.NodePulse"/> must not take the silence in between for death.</summary>
    internal const int CoarseMs = 1_000;

    private readonly ShardLoop[] _loops;
    private readonly bool[] _needsEveryTick;
    private readonly Lock _pace = new();
    private ITimer? _timer;
    private bool _fine;
    private bool _stopped;
    private int _failed;
    private long _clockOffsetMs;

    /// <param name="self">This node.</param>
    /// <param name="count">How many loops.</param>
    /// <param name="storage">The node's storage, which all loops share.</param>
    /// <param name="createOutbox">Makes the way to the peers, one for each loop.</param>
    /// <param name="router">Where keys live.</param>
    /// <param name="replicaOptions">For every replica.</param>
    /// <param name="scheduler">Who gives the loops their turns, ticks and time.</param>
    /// <param name="log">For all loops.</param>
    public LoopSet(
        NodeId self, int count, NodeStorage storage, Func<PeerOutbox> createOutbox, ShardRouter router, ReplicaOptions replicaOptions, LoopScheduler scheduler, ILogger<LoopSet> log)
    {
        Self = self;
        Count = count;
        Router = router;
        ReplicaOptions = replicaOptions;
        Storage = storage;
        Scheduler = scheduler;
        CoarseTicks = Math.Max(1, Math.Min(CoarseMs / replicaOptions.TickMs, replicaOptions.Raft.QuietRenewTicks / 2));
        _loops = new ShardLoop[count];
        _needsEveryTick = new bool[count];
        for (int i = 0; i < count; i++)
        {
            _loops[i] = new ShardLoop(this, i, storage, createOutbox(), log);
        }
    }

    /// <summary>On the system shard's loop, once per tick: the catalog may have changed.</summary>
    public event Action<ShardLoop>? Ticked;

    /// <summary>On a shard's loop: a replica of this node learned who leads.</summary>
    public event Action<ShardId, NodeId>? LeaderChanged;

    /// <summary>On a shard's loop: the shard's keyspace was deleted, and this node has no replica of it any more.</summary>
    public event Action<ShardId>? Closed;

    /// <summary>The replica of this node is in another regime than before. Raised on the shard's loop.</summary>
    public event Action<ShardId, ShardRegime>? RegimeChanged;

    /// <summary>On a shard's loop: an unsafe recovery has taken effect.</summary>
    public event Action<ShardId, QuorumLoss>? QuorumForced;

    /// <summary>Storage or a loop has failed for good: the node must stop. Raised once.</summary>
    public event Action<Exception?>? Failed;

    public NodeId Self { get; }

    public int Count { get; }

    public ShardRouter Router { get; }

    public NodeStorage Storage { get; }

    public ReplicaOptions ReplicaOptions { get; }

    /// <summary>How far this node's wall clock is ahead of the cluster's, in milliseconds. From any thread.</summary>
    public long ClockOffsetMs
    {
        get => Interlocked.Read(ref _clockOffsetMs);
        set => Interlocked.Exchange(ref _clockOffsetMs, value);
    }

    public LoopScheduler Scheduler { get; }

    /// <summary>Where changes go to be watched; null: nowhere. Set before any replica is opened.</summary>
    public Watching.WatchHub? Watches { get; set; }

    /// <summary>Shards that an unsafe recovery has forced at an earlier start: none is forced a second time. Set before any replica is opened.</summary>
    public IReadOnlySet<ShardId> RecoveredEarlier { get; set; } = new HashSet<ShardId>();

    /// <summary>The coarse clock ticks once for so many ticks of the fine one. Quiet groups need it to be finer than their renewals.</summary>
    public int CoarseTicks { get; }

    public IReadOnlyList<ShardLoop> Loops => _loops;

    public ShardLoop LoopOf(ShardId shard) => _loops[Count == 1 ? 0 : (int)((shard.Keyspace + (uint)shard.Number) % (uint)Count)];

    public ReplicaOptions OptionsFor(ShardId shard) => RecoveredEarlier.Contains(shard) ? ReplicaOptions with { GivenUp = [] } : ReplicaOptions;

    public void Start()
    {
        lock (_pace)
        {
            Run(fine: true);
        }
    }

    /// <summary>Any thread: a frame goes to every loop; each takes what is its own.</summary>
    public void OnFrame(InboundFrame frame)
    {
        var item = new LoopItem { Kind = LoopItemKind.PeerFrame, Frame = frame };
        foreach (ShardLoop loop in _loops)
        {
            loop.Post(item);
        }
    }

    /// <summary>How long a heartbeat to a node and back takes, in milliseconds; zero: not measured.</summary>
    public Func<NodeId, double> RoundTripMs { get; set; } = static _ => 0;

    /// <param name="node">A peer.</param>
    /// <param name="reachable">Whether it is heard and hears this node.</param>
    /// <param name="boot">Which life of it is heard: another number after each restart; zero before anything was heard.</param>
    public void OnReachability(NodeId node, bool reachable, ulong boot) =>
        PostAll(new LoopItem { Kind = LoopItemKind.Reachability, Peer = node, Reachable = reachable, Boot = boot });

    public void OnPeerLost(NodeId node) => PostAll(new LoopItem { Kind = LoopItemKind.PeerLost, Peer = node });

    /// <summary>The nearest node that can be reached and has a replica of a shard of which this node has none.</summary>
    public Task<NodeId> NearestReplicaNodeAsync(ShardId shard) => RunAsync(LoopOf(shard), loop => Router.NearestReplicaNodeFor(shard, loop.Unreachable, RoundTripMs));

    /// <summary>Runs something on a loop and waits for it. Not for hot paths.</summary>
    public static Task<T> RunAsync<T>(ShardLoop loop, Func<ShardLoop, T> work)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(on =>
        {
            try
            {
                done.SetResult(work(on));
            }
            catch (Exception failure) when (failure is not OutOfMemoryException)
            {
                done.SetException(failure);
            }
        });
        return done.Task;
    }

    /// <summary>Seals all replicas and answers what waits.</summary>
    public async Task StopAsync()
    {
        StopClock();

        foreach (ShardLoop loop in _loops)
        {
            await RunAsync(loop, on =>
            {
                on.StopReplicas();
                return true;
            });

            // A second turn hands over what the first one put together.
            await RunAsync(loop, _ => true);
        }
    }

    /// <summary>As if the process had died: the loops take no further step.</summary>
    public void Halt()
    {
        StopClock();
        foreach (ShardLoop loop in _loops)
        {
            loop.Halt();
        }
    }

    /// <summary>Completes when this node's replica of the system shard has read its data back.</summary>
    public async Task WhenSystemActiveAsync(CancellationToken cancellation)
    {
        var active = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        void Look(ShardLoop loop)
        {
            if (loop.Find(ShardId.System) is { } system && (system.IsActive || system.FencedBecause is not null))
            {
                active.TrySetResult();
            }
        }

        Ticked += Look;
        try
        {
            await active.Task.WaitAsync(cancellation);
        }
        finally
        {
            Ticked -= Look;
        }
    }

    /// <summary>
    /// Completes when the replicas whose data lives in memory only have copied it from their peers, as far as a peer has it and can be reached: until then a rolling restart must not go on.
    /// </summary>
    public async Task WhenMemoryCopiedAsync(CancellationToken cancellation)
    {
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        while (await AnyAwaitsCopyAsync())
        {
            await look.WaitForNextTickAsync(cancellation);
        }
    }

    public void Dispose() => StopClock();

    /// <summary>A loop says whether it needs every tick. From coarse to fine at once; the way back at the loop's next tick, so that single operations don't change the clock again and again.</summary>
    internal void SetPace(int loop, bool everyTick)
    {
        if (Volatile.Read(ref _needsEveryTick[loop]) == everyTick)
        {
            return;
        }

        lock (_pace)
        {
            Volatile.Write(ref _needsEveryTick[loop], everyTick);
            bool fine = Array.Exists(_needsEveryTick, needs => needs);
            if (!_stopped && fine != _fine && _timer is not null)
            {
                Run(fine);
            }
        }
    }

    internal void OnClosed(ShardId shard) => Closed?.Invoke(shard);

    internal void OnRegime(ShardId shard, ShardRegime regime) => RegimeChanged?.Invoke(shard, regime);

    internal void OnQuorumForced(ShardId shard, QuorumLoss loss) => QuorumForced?.Invoke(shard, loss);

    internal void OnLeader(ShardId shard, NodeId leader) => LeaderChanged?.Invoke(shard, leader);

    internal void OnTick(ShardLoop loop)
    {
        if (ReferenceEquals(loop, LoopOf(ShardId.System)))
        {
            Ticked?.Invoke(loop);
        }
    }

    internal void OnFailed(Exception? error)
    {
        if (Interlocked.Exchange(ref _failed, 1) == 0)
        {
            Failed?.Invoke(error);
        }
    }

    private async Task<bool> AnyAwaitsCopyAsync()
    {
        foreach (ShardLoop loop in _loops)
        {
            if (await RunAsync(loop, on => on.Replicas.Any(replica => replica.AwaitsCopy)))
            {
                return true;
            }
        }

        return false;
    }

    private void Run(bool fine)
    {
        _fine = fine;
        _timer?.Dispose();
        int ticks = fine ? 1 : CoarseTicks;
        var tick = new LoopItem { Kind = LoopItemKind.Tick, Ticks = ticks };
        _timer = Scheduler.Every(TimeSpan.FromMilliseconds((double)ReplicaOptions.TickMs * ticks), fine ? () => TickBusy(tick) : () => TickIdle(tick));
    }

    /// <summary>The last loop gets its turn on this thread; the others must not wait for it.</summary>
    private void TickBusy(in LoopItem tick)
    {
        for (int i = 0; i < Count - 1; i++)
        {
            _loops[i].Post(tick);
        }

        _loops[Count - 1].Tick(tick);
    }

    /// <summary>Nobody has anything to do: one thread wakes for all, one step each.</summary>
    private void TickIdle(in LoopItem tick)
    {
        foreach (ShardLoop loop in _loops)
        {
            loop.Tick(tick);
        }
    }

    private void StopClock()
    {
        lock (_pace)
        {
            _stopped = true;
            _timer?.Dispose();
        }
    }

    private void PostAll(in LoopItem item)
    {
        foreach (ShardLoop loop in _loops)
        {
            loop.Post(item);
        }
    }
}
