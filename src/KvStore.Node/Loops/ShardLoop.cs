using System.Collections.Concurrent;
using System.Collections.Immutable;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Watching;
using KvStore.Node.Peers;
using KvStore.Storage;

namespace KvStore.Node.Loops;

/// <summary>
/// An actor that owns some of the node's shards. One step:
/// <list type="number">
/// <item>drain the inboxes: first frames of peers (<see cref="FrameDispatch"/>), reports of storage, ticks, then operations of clients (<see cref="LoopOperations"/>); each changes memory only;</item>
/// <item>give every replica that was touched its turn (<see cref="LoopReplicas"/>): it appends to the log, sends, applies, answers;</item>
/// <item>hand the appends to the node's log in one piece, the messages to the peers in one frame each, the answers to each connection in one kick (<see cref="LoopAnswers"/>).</item>
/// </list>
/// The step never waits: while the one fsync in flight covers what was appended so far, the next step gathers the next group. Who gives it its turns is the <see cref="LoopScheduler"/>'s affair.
/// </summary>
internal sealed class ShardLoop : IThreadPoolWorkItem, IStorageSink
{
    /// <summary>Items of one step: enough to batch well, few enough that answers leave soon.</summary>
    private const int MaxItemsPerStep = 512;

    /// <summary>Operations of clients in one step; the batch that reaches it is still taken whole.</summary>
    private const int MaxOperationsPerStep = 1_024;

    /// <summary>Operations of clients that may wait for a step; streams refuse more before they get here (RESOURCE_EXHAUSTED).</summary>
    private const int MaxWaitingOperations = 4_096;

    private readonly LoopSet _set;
    private readonly ILogger _log;
    private readonly ConcurrentQueue<LoopItem> _inbox = new();

    /// <summary>Batches of clients. Apart, so that however many there are, messages of peers, what the disk reports and the clock never wait behind them: else a node under too much load would miss heartbeats and lose its leaders.</summary>
    private readonly ConcurrentQueue<OperationBatch> _operationsInbox = new();
    private readonly StorageLoop _storage;
    private readonly PeerOutbox _outbox;
    private readonly LoopAnswers _answers = new();
    private readonly LoopReplicas _replicas;
    private readonly OutgoingForwards _forwards;
    private readonly LoopOperations _operations;
    private readonly FrameDispatch _frames;
    private int _scheduled;
    private int _waitingOperations;
    private long _lagsDueMs;
    private long _steps;
    private volatile bool _halted;
    private int _stepping;

    public ShardLoop(LoopSet set, int number, NodeStorage storage, PeerOutbox outbox, ILogger log)
    {
        _set = set;
        Number = number;
        _log = log;
        _storage = storage.CreateLoop(this);
        _outbox = outbox;
        var results = new ResultMapper(set.Self);
        List<Completion> completions = [];
        _replicas = new LoopReplicas(set, _storage, outbox, completions, Clock, log);
        _forwards = new OutgoingForwards(number, set.Count, outbox, _answers, results, Clock);
        _operations = new LoopOperations(set, _replicas, _forwards, _answers, results, completions, Clock);
        _frames = new FrameDispatch(_replicas, _forwards, new IncomingForwards(set, this, _replicas, _operations, outbox, results, Clock));
    }

    public int Number { get; }

    public ReplicaClock Clock { get; } = new();

    /// <summary>Grows with every step: shows that the loop makes progress.</summary>
    public long Steps => Volatile.Read(ref _steps);

    /// <summary>On the loop only.</summary>
    public IEnumerable<ShardReplica> Replicas => _replicas.All;

    /// <summary>Any thread: so many operations of clients wait for this loop that another one is better refused.</summary>
    public bool IsOverloaded => Volatile.Read(ref _waitingOperations) >= MaxWaitingOperations;

    /// <summary>Any thread: operations of a client. The batch belongs to the loop from now on.</summary>
    public void Post(OperationBatch batch)
    {
        Interlocked.Add(ref _waitingOperations, batch.Operations.Count);
        _operationsInbox.Enqueue(batch);
        Schedule();
    }

    /// <summary>Any thread: puts an item into the inbox and wakes the loop.</summary>
    public void Post(in LoopItem item)
    {
        _inbox.Enqueue(item);
        Schedule();
    }

    /// <summary>The clock's thread: puts a tick into the inbox, and takes the turn if nobody has it.</summary>
    public void Tick(in LoopItem item)
    {
        _inbox.Enqueue(item);
        if (TakeTurn())
        {
            _set.Scheduler.QueueFromTick(this);
        }
    }

    public void Post(in StorageEvent e) => Post(new LoopItem { Kind = LoopItemKind.Storage, Storage = e });

    public void Post(Action<ShardLoop> command) => Post(new LoopItem { Kind = LoopItemKind.Command, Command = command });

    /// <summary>One step, on the scheduler's thread. At most one at a time.</summary>
    void IThreadPoolWorkItem.Execute()
    {
        Interlocked.Exchange(ref _stepping, 1);
        if (_halted)
        {
            Volatile.Write(ref _stepping, 0);
            return;
        }

        try
        {
            Step();
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            // A step that breaks off may have left work half done: nothing on this loop can be trusted any more.
            LoopLog.LoopFailed(_log, Number, failure);
            FenceAll($"shard loop {Number} has failed: {failure.Message}");
            _set.OnFailed(failure);
        }

        Volatile.Write(ref _stepping, 0);
        Volatile.Write(ref _scheduled, 0);
        if (!_inbox.IsEmpty || !_operationsInbox.IsEmpty)
        {
            Schedule();
        }
    }

    /// <summary>On the loop: opens this node's replica of a shard.</summary>
    /// <param name="isAnew">What was removed of the shard here was another replica, or none.</param>
    public void Open(ShardDescriptor descriptor, Random random, bool isAnew = false) => _replicas.Open(descriptor, random, isAnew);

    /// <summary>On the loop: how far what this loop has appended is durable.</summary>
    public LogPosition DurablePosition => _storage.DurablePosition;

    /// <summary>On the loop: the shard's keyspace was deleted, or its replica has moved away; closes the replica and destroys what is on the disk. Harmless when there is nothing.</summary>
    /// <returns>When this is durable, that is.</returns>
    public LogPosition Destroy(ShardId shard, bool isDeleted = true)
    {
        if (_replicas.Destroy(shard, isDeleted))
        {
            _operations.OnClosed(shard, isDeleted);
            LoopLog.ReplicaDestroyed(_log, shard);
        }

        _set.OnClosed(shard);
        return _storage.AppendedPosition;
    }

    /// <summary>Any thread: this node is no member any more. From soon on none of its replicas serves, or votes, or is opened.</summary>
    public void Retire(string reason) => Post(on => on.RetireHere(reason));

    /// <summary>On the loop: asks its replica of the shard, if it leads, for other members.</summary>
    public void ChangeMembers(ShardId shard, ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners, long deadlineMs) =>
        _replicas.ChangeMembers(shard, voters, learners, deadlineMs);

    /// <summary>On the loop: asks its replica of the shard, if it leads, to bring the shard into a mode (<see cref="ShardReplica.ChangeMode"/>). To be repeated until it is there.</summary>
    public void ChangeMode(ShardId shard, KeyspaceMode wanted, long deadlineMs) => _replicas.ChangeMode(shard, wanted, deadlineMs);

    /// <summary>On the loop: reads a page of what its replica holds. What can't be read is never answered.</summary>
    public void ScanForWatch(ShardId shard, ReadOnlyMemory<byte> prefix, ReadOnlyMemory<byte> after, int maxRecords, int maxBytes, Action<WatchPage> then) =>
        _replicas.ScanForWatch(shard, prefix, after, maxRecords, maxBytes, then);

    /// <summary>On the loop: its replica says to its watches how far it is.</summary>
    public void MarkForWatch(ShardId shard) => _replicas.MarkForWatch(shard);

    /// <summary>On the loop: nodes that the failure detector has given up.</summary>
    public IReadOnlySet<NodeId> Unreachable => _replicas.Unreachable;

    /// <summary>On the loop: asks its replica of the shard, if it leads, to let another one lead.</summary>
    public bool TransferLeadership(ShardId shard, NodeId to) => _replicas.TransferLeadership(shard, to);

    /// <summary>On the loop.</summary>
    public ShardReplica? Find(ShardId shard) => _replicas.Find(shard)?.Replica;

    /// <summary>On the loop: seals every replica, answers what waits, and hands the rest to storage and peers.</summary>
    public void StopReplicas()
    {
        _replicas.Stop();
        _forwards.OnStop();
    }

    /// <summary>Any thread: no further step begins, as if the process had died.</summary>
    public void Halt()
    {
        _halted = true;

        // Storage must not be abandoned under a step that is under way.
        Interlocked.MemoryBarrier();
        SpinWait.SpinUntil(() => Volatile.Read(ref _stepping) == 0);
    }

    /// <summary>Something here counts ticks, or waits for a deadline.</summary>
    private bool NeedsEveryTick => _replicas.AnyAwake || _forwards.Any;

    private void Schedule()
    {
        if (TakeTurn())
        {
            _set.Scheduler.Queue(this);
        }
    }

    private bool TakeTurn() => Volatile.Read(ref _scheduled) == 0 && Interlocked.Exchange(ref _scheduled, 1) == 0;

    private void Step()
    {
        Clock.Set(_set.Scheduler.NowMs, _set.Scheduler.WallMs);
        Clock.OffsetMs = _set.ClockOffsetMs;
        for (int i = 0; i < MaxItemsPerStep && _inbox.TryDequeue(out LoopItem item); i++)
        {
            Handle(item);
        }

        TakeOperations();
        _replicas.Turn();
        _operations.DeliverCompletions();
        _storage.Submit();
        _outbox.Flush();
        _answers.Kick();
        if (NeedsEveryTick)
        {
            _set.SetPace(Number, everyTick: true);
        }

        Volatile.Write(ref _steps, _steps + 1);
    }

    private void TakeOperations()
    {
        int taken = 0;
        while (taken < MaxOperationsPerStep && _operationsInbox.TryDequeue(out OperationBatch? batch))
        {
            // The batch goes back to its pool as it is submitted.
            taken += batch.Operations.Count;
            _operations.Submit(batch);
        }

        if (taken > 0)
        {
            Interlocked.Add(ref _waitingOperations, -taken);
        }
    }

    private void RecordLags()
    {
        const int EveryMs = 1_000;
        if (Clock.NowMs >= _lagsDueMs)
        {
            _lagsDueMs = Clock.NowMs + EveryMs;
            _replicas.RecordLags();
        }
    }

    private void Handle(in LoopItem item)
    {
        switch (item.Kind)
        {
            case LoopItemKind.PeerFrame:
                _frames.Handle(item.Frame!);
                break;
            case LoopItemKind.Storage:
                HandleStorage(item.Storage);
                break;
            case LoopItemKind.Tick:
                _replicas.Tick(item.Ticks);
                _operations.LookAtDisk();
                _forwards.Expire();
                RecordLags();
                _set.OnTick(this);
                _set.SetPace(Number, NeedsEveryTick);
                break;
            case LoopItemKind.Reachability:
                if (_replicas.SetReachable(item.Peer, item.Reachable, item.Boot) && !item.Reachable)
                {
                    _forwards.OnUnreachable(item.Peer);
                }

                break;
            case LoopItemKind.PeerLost:
                _forwards.OnConnectionLost(item.Peer);
                _replicas.OnPeerLost(item.Peer);
                break;
            default:
                item.Command!(this);
                break;
        }
    }

    private void HandleStorage(in StorageEvent e)
    {
        switch (e.Kind)
        {
            case StorageEventKind.Durable:
                _replicas.OnDurable(e.Durable);
                break;
            case StorageEventKind.Failed:
                LoopLog.StorageFailed(_log, e.Error);
                FenceAll(e.Error?.Message ?? "storage has failed");
                _set.OnFailed(e.Error);
                break;
            default:
                _replicas.Report(e);
                break;
        }
    }

    private void RetireHere(string reason)
    {
        _replicas.IsRetired = true;
        FenceAll(reason);
    }

    /// <summary>Nothing here serves any more; whoever waits is told at once.</summary>
    private void FenceAll(string reason)
    {
        _replicas.FenceAll(reason);
        _operations.DeliverCompletions();
        _answers.Kick();
    }
}
