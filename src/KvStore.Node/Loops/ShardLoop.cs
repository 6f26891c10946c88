using System.Collections.Concurrent;
using KvStore.Contracts.Pipeline;
using KvStore.Core;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using KvStore.Node.Peers;
using KvStore.Storage;

namespace KvStore.Node.Loops;

/// <summary>
/// An actor that owns some of the node's shards. One step:
/// <list type="number">
/// <item>drain the inbox: frames of peers, operations of clients, reports of storage, ticks; each changes memory only;</item>
/// <item>give every replica that was touched its turn: it appends to the log, sends, applies, answers;</item>
/// <item>hand the appends to the node's log in one piece, the messages to the peers in one frame each, the answers to each connection in one kick.</item>
/// </list>
/// The step never waits: while the one fsync in flight covers what was appended so far, the next step gathers the next group.
/// </summary>
internal sealed class ShardLoop : IThreadPoolWorkItem, IStorageSink
{
    /// <summary>Items of one step: enough to batch well, few enough that answers leave soon.</summary>
    private const int MaxItemsPerStep = 512;

    /// <summary>Operations that a loop holds unanswered; more are refused early.</summary>
    private const int MaxHeld = 65_536;

    private const int CampaignDelayTicks = 3;

    private readonly LoopSet _set;
    private readonly ILogger _log;
    private readonly ConcurrentQueue<LoopItem> _inbox = new();
    private readonly Dictionary<ShardId, ReplicaSlot> _replicas = [];
    private readonly List<ReplicaSlot> _touched = [];
    private readonly List<Completion> _completions = [];
    private readonly List<OperationOrigin> _toKick = [];
    private readonly OperationSlots _slots = new();
    private readonly EntryScratch _entries = new();
    private readonly ForwardTable _forwards;
    private readonly ResultMapper _results;
    private readonly StorageLoop _storage;
    private readonly PeerOutbox _outbox;
    private readonly HashSet<NodeId> _unreachable = [];
    private readonly Dictionary<NodeId, PeerOrigin> _peerOrigins = [];
    private RefusalCode _writesRefused;
    private int _scheduled;
    private long _steps;
    private volatile bool _halted;
    private int _stepping;

    public ShardLoop(LoopSet set, int number, NodeStorage storage, PeerMesh peers, ILogger log)
    {
        _set = set;
        Number = number;
        _log = log;
        _forwards = new ForwardTable(number, set.Count);
        _results = new ResultMapper(set.Self);
        _storage = storage.CreateLoop(this);
        _outbox = peers.CreateOutbox();
    }

    public int Number { get; }

    public ReplicaClock Clock { get; } = new();

    /// <summary>Grows with every step: shows that the loop makes progress.</summary>
    public long Steps => Volatile.Read(ref _steps);

    /// <summary>On the loop only.</summary>
    public IEnumerable<ShardReplica> Replicas => _replicas.Values.Select(slot => slot.Replica);

    /// <summary>Any thread: puts an item into the inbox and wakes the loop.</summary>
    public void Post(in LoopItem item)
    {
        _inbox.Enqueue(item);
        Schedule();
    }

    public void Post(in StorageEvent e) => Post(new LoopItem { Kind = LoopItemKind.Storage, Storage = e });

    public void Post(Action<ShardLoop> command) => Post(new LoopItem { Kind = LoopItemKind.Command, Command = command });

    /// <summary>One step, on a pool thread. At most one at a time.</summary>
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
        if (!_inbox.IsEmpty)
        {
            Schedule();
        }
    }

    /// <summary>On the loop: opens this node's replica of a shard.</summary>
    public void Open(ShardDescriptor descriptor, Random random)
    {
        if (_replicas.ContainsKey(descriptor.Shard))
        {
            return;
        }

        IReplicaStorage storage = _storage.OpenReplica(descriptor.Shard, out RecoveredReplica recovered);
        LoopLog.ReplicaOpened(_log, descriptor.Shard, descriptor.Mode.ToString(), recovered.Position.Applied.Value, recovered.Records.Count);
        var replica = new ShardReplica(descriptor, _set.ReplicaOptions, storage, _outbox, recovered, Clock, random, _completions);
        var slot = new ReplicaSlot(replica);
        if (recovered.Position == ViewPosition.Zero && recovered.Records.Count == 0 && descriptor.Places[0].Node == _set.Self)
        {
            // The others need a moment to open theirs.
            slot.CampaignIn = CampaignDelayTicks;
        }

        _replicas.Add(descriptor.Shard, slot);
        foreach (NodeId node in _unreachable)
        {
            replica.SetReachable(node, reachable: false);
        }

        Guard(slot, replica.Start);
        Touch(slot);
    }

    public ShardReplica? Find(ShardId shard) => _replicas.TryGetValue(shard, out ReplicaSlot? slot) ? slot.Replica : null;

    /// <summary>On the loop: seals every replica, answers what waits, and hands the rest to storage and peers.</summary>
    public void StopReplicas()
    {
        foreach (ReplicaSlot slot in _replicas.Values)
        {
            Guard(slot, slot.Replica.Stop);
        }

        Lose(_forwards.TakeAll(), RefusalCode.ShuttingDown, "The node is shutting down.");
    }

    /// <summary>Any thread: no further step begins, as if the process had died.</summary>
    public void Halt()
    {
        _halted = true;

        // Storage must not be abandoned under a step that is under way.
        Interlocked.MemoryBarrier();
        SpinWait.SpinUntil(() => Volatile.Read(ref _stepping) == 0);
    }

    private void Schedule()
    {
        if (Volatile.Read(ref _scheduled) == 0 && Interlocked.Exchange(ref _scheduled, 1) == 0)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    private void Step()
    {
        Clock.Set(Environment.TickCount64, (ulong)DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());
        for (int i = 0; i < MaxItemsPerStep && _inbox.TryDequeue(out LoopItem item); i++)
        {
            Handle(item);
        }

        foreach (ReplicaSlot slot in _touched)
        {
            slot.Touched = false;
            _outbox.Epoch = slot.Replica.Descriptor.Epoch;
            try
            {
                slot.Replica.Turn();
            }
            catch (InvariantViolationException broken)
            {
                Fence(slot, broken.Message);
            }
        }

        _touched.Clear();
        DeliverCompletions();
        _storage.Submit();
        _outbox.Flush();
        foreach (OperationOrigin origin in _toKick)
        {
            origin.Kick();
        }

        _toKick.Clear();
        Volatile.Write(ref _steps, _steps + 1);
    }

    private void Handle(in LoopItem item)
    {
        switch (item.Kind)
        {
            case LoopItemKind.PeerFrame:
                HandleFrame(item.Frame!);
                break;
            case LoopItemKind.Operations:
                foreach (ref RoutedOperation operation in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(item.Operations!.Operations))
                {
                    Submit(item.Operations.Origin, ref operation);
                }

                OperationBatchPool.Return(item.Operations);
                break;
            case LoopItemKind.Storage:
                HandleStorage(item.Storage);
                break;
            case LoopItemKind.Tick:
                HandleTick();
                break;
            case LoopItemKind.Reachability:
                HandleReachability(item.Peer, item.Reachable);
                break;
            case LoopItemKind.PeerLost:
                Lose(_forwards.TakeLost(item.Peer), RefusalCode.LeadershipLost, $"The connection to {item.Peer}, where the operation was forwarded, broke.");
                break;
            default:
                item.Command!(this);
                break;
        }
    }

    private void HandleFrame(InboundFrame frame)
    {
        try
        {
            PeerFrameReader reader = new(frame.Bytes, _entries);
            while (reader.Read())
            {
                if (reader.Item == PeerFrameItem.Operation)
                {
                    HandleForwarded(frame.From, reader.ForwardId, reader.Operation);
                }
                else if (reader.Item == PeerFrameItem.Result)
                {
                    HandleForwardResult(reader.ForwardId, reader.Result);
                }
                else if (_replicas.TryGetValue(reader.Shard, out ReplicaSlot? slot) && reader.Epoch == slot.Replica.Descriptor.Epoch.Value)
                {
                    HandleMessage(frame.From, slot, reader);
                }
            }
        }
        catch (Exception malformed) when (malformed is MalformedFrameException or MalformedRecordException)
        {
            frame.ResetConnection(malformed.Message);
        }
    }

    private void HandleMessage(NodeId from, ReplicaSlot slot, in PeerFrameReader reader)
    {
        _outbox.Epoch = slot.Replica.Descriptor.Epoch;
        try
        {
            switch (reader.Item)
            {
                case PeerFrameItem.Raft:
                    slot.Replica.Receive(reader.Raft);
                    break;
                case PeerFrameItem.Dotted:
                    slot.Replica.Receive(from, reader.DottedKind, reader.DottedPayload);
                    break;
                default:
                    slot.Replica.Receive(reader.Snapshot);
                    break;
            }
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }

        Touch(slot);
    }

    private void HandleStorage(in StorageEvent e)
    {
        switch (e.Kind)
        {
            case StorageEventKind.Durable:
                foreach (ReplicaSlot each in _replicas.Values)
                {
                    NotifyDurable(each, e.Durable);
                }

                break;
            case StorageEventKind.Failed:
                LoopLog.StorageFailed(_log, e.Error);
                FenceAll(e.Error?.Message ?? "storage has failed");
                _set.OnFailed(e.Error);
                break;
            default:
                if (_replicas.TryGetValue(e.Shard, out ReplicaSlot? slot))
                {
                    StorageEvent report = e;
                    Guard(slot, () => Report(slot.Replica, report));
                    Touch(slot);
                }

                break;
        }
    }

    private static void Report(ShardReplica replica, in StorageEvent e)
    {
        switch (e.Kind)
        {
            case StorageEventKind.Loaded:
                replica.OnLoaded(e.Tag);
                break;
            case StorageEventKind.Scanned:
                replica.OnScanned(e.Page!);
                break;
            case StorageEventKind.Installed:
                replica.OnInstalled(e.Position);
                break;
            default:
                break;
        }
    }

    private void NotifyDurable(ReplicaSlot slot, LogPosition position)
    {
        if (!slot.Replica.WaitsForDurable)
        {
            return;
        }

        _outbox.Epoch = slot.Replica.Descriptor.Epoch;
        try
        {
            slot.Replica.OnDurable(position);
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }

        Touch(slot);
    }

    private void HandleTick()
    {
        foreach (ReplicaSlot slot in _replicas.Values)
        {
            _outbox.Epoch = slot.Replica.Descriptor.Epoch;
            try
            {
                if (slot.CampaignIn > 0 && --slot.CampaignIn == 0)
                {
                    slot.Replica.Campaign();
                }

                slot.Replica.Tick();
            }
            catch (InvariantViolationException broken)
            {
                Fence(slot, broken.Message);
            }

            Touch(slot);
        }

        NoteLeaders();
        NoteLostWrites();
        _writesRefused = _set.Storage.IsDiskLow ? RefusalCode.DiskLow : RefusalCode.None;
        if (_forwards.Count > 0)
        {
            Lose(_forwards.TakeExpired(Clock.NowMs), RefusalCode.DeadlineExceeded, "The deadline passed before the node that serves the key answered.");
        }

        _set.OnTick(this);
    }

    private void NoteLeaders()
    {
        foreach ((ShardId shard, ReplicaSlot slot) in _replicas)
        {
            NodeId leader = slot.Replica.LeaderNode;
            if (leader != slot.Leader)
            {
                slot.Leader = leader;
                LoopLog.LeaderChanged(_log, shard, leader, slot.Replica.Term.Value);
                _set.OnLeader(shard, leader);
            }
        }
    }

    private void NoteLostWrites()
    {
        foreach ((ShardId shard, ReplicaSlot slot) in _replicas)
        {
            long found = slot.Replica.LostWrites.Found;
            if (found != slot.LostWrites)
            {
                LoopLog.WritesLost(_log, shard, found - slot.LostWrites);
                NodeMetrics.OnLostWrites(_set.Router, shard, found - slot.LostWrites);
                slot.LostWrites = found;
            }
        }
    }

    private void HandleReachability(NodeId node, bool reachable)
    {
        bool news = reachable ? _unreachable.Remove(node) : _unreachable.Add(node);
        if (!news)
        {
            return;
        }

        foreach (ReplicaSlot slot in _replicas.Values)
        {
            slot.Replica.SetReachable(node, reachable);
            Touch(slot);
        }

        if (!reachable)
        {
            // A cut link breaks no stream: without this, what was forwarded would wait for its deadline.
            Lose(_forwards.TakeLost(node), RefusalCode.LeadershipLost, $"{node}, where the operation was forwarded, can no longer be reached.");
        }
    }

    private void Submit(OperationOrigin origin, ref RoutedOperation routed)
    {
        if (IsRefusedEarly(origin, routed))
        {
            return;
        }

        if (_replicas.TryGetValue(routed.Shard, out ReplicaSlot? slot))
        {
            ShardReplica replica = slot.Replica;
            NodeId elsewhere = replica.BetterPlaceFor(routed.Operation);
            if (elsewhere.IsNone || routed.DeclineForwarding)
            {
                routed.Operation.Handle = _slots.Add(origin, routed.CallId);
                _outbox.Epoch = replica.Descriptor.Epoch;
                try
                {
                    replica.Submit(routed.Operation);
                }
                catch (InvariantViolationException broken)
                {
                    Fence(slot, broken.Message);
                    FailHandle(routed.Operation.Handle);
                }

                Touch(slot);
                return;
            }

            Forward(origin, routed, elsewhere, isLast: true);
            return;
        }

        NodeId node = _set.Router.ReplicaNodeFor(routed.Shard, _unreachable);
        if (node.IsNone || routed.DeclineForwarding)
        {
            Deliver(origin, routed.CallId, _results.Refusal(RefusalCode.WrongNode, "This node has no replica of the key's shard.", leader: node));
            return;
        }

        // Who has no replica does not know the leader either: whoever gets it may pass it on.
        Forward(origin, routed, node, isLast: false);
    }

    /// <summary>Under overload, and when the disk is nearly full, the loop says so before it does any work.</summary>
    private bool IsRefusedEarly(OperationOrigin origin, in RoutedOperation routed)
    {
        bool isWrite = routed.Operation.Kind is OperationKind.Put or OperationKind.Delete;
        if (_slots.Count >= MaxHeld || (isWrite && _set.Storage.IsOverloaded))
        {
            Deliver(origin, routed.CallId, _results.Refusal(RefusalCode.Overloaded, "This node has more to do than it can keep up with; slow down and try again."));
            return true;
        }

        if (isWrite && _writesRefused == RefusalCode.DiskLow && routed.Operation.Kind == OperationKind.Put)
        {
            Deliver(origin, routed.CallId, _results.Refusal(RefusalCode.DiskLow, "The disk of this node is nearly full: puts are refused, reads and deletes go on. Free some space."));
            return true;
        }

        return false;
    }

    private void Forward(OperationOrigin origin, in RoutedOperation routed, NodeId node, bool isLast)
    {
        if (_forwards.Count >= ForwardTable.MaxInFlight)
        {
            Deliver(origin, routed.CallId, _results.Refusal(RefusalCode.Overloaded, "Too many operations are being forwarded; slow down and try again."));
            return;
        }

        bool isWrite = routed.Operation.Kind is OperationKind.Put or OperationKind.Delete;
        ulong id = _forwards.Add(new Forwarded(origin, routed.CallId, node, isWrite, routed.Operation.DeadlineMs));
        WireOperation wire = OperationMapper.ToWire(routed, isLast, Clock.NowMs);
        if (!_outbox.SendOperation(node, id, wire))
        {
            _forwards.TryTake(id, out _);
            Deliver(origin, routed.CallId, _results.Refusal(RefusalCode.NoLeader, $"The key is served by {node}, which can't be reached from here at the moment.", leader: node));
        }
    }

    private void HandleForwarded(NodeId from, ulong forwardId, in WireOperation wire)
    {
        if (!OperationMapper.TryRoute(wire, _set.Router, Clock.NowMs, out RoutedOperation routed, out RefusalCode code, out string reason))
        {
            if (Number == 0)
            {
                _outbox.SendResult(from, forwardId, _results.Refusal(code, reason));
            }

            return;
        }

        if (_set.LoopOf(routed.Shard) != this)
        {
            return;
        }

        routed.CallId = forwardId;
        // Without a replica here the sender has an old map; passing it on from here could go round in circles.
        routed.DeclineForwarding |= !_replicas.ContainsKey(routed.Shard);
        if (!_peerOrigins.TryGetValue(from, out PeerOrigin? origin))
        {
            origin = new PeerOrigin(_outbox, from);
            _peerOrigins.Add(from, origin);
        }

        Submit(origin, ref routed);
    }

    private void HandleForwardResult(ulong forwardId, in WireResult result)
    {
        if (_forwards.Owns(forwardId) && _forwards.TryTake(forwardId, out Forwarded forwarded))
        {
            Deliver(forwarded.Origin, forwarded.CallId, result);
        }
    }

    private void Lose(List<Forwarded> lost, RefusalCode code, string reason)
    {
        foreach (Forwarded forwarded in lost)
        {
            Deliver(forwarded.Origin, forwarded.CallId, _results.Refusal(code, reason, unknown: forwarded.IsWrite));
        }
    }

    private void DeliverCompletions()
    {
        foreach (ref readonly Completion completion in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_completions))
        {
            if (_slots.TryTake(completion.Handle, out OperationOrigin origin, out ulong callId))
            {
                _results.Map(completion, out WireResult result);
                Deliver(origin, callId, result);
            }
        }

        _completions.Clear();
    }

    private void Deliver(OperationOrigin origin, ulong callId, WireResult result)
    {
        result.CallId = callId;
        origin.Deliver(callId, ref result);
        if (_toKick.Count == 0 || !ReferenceEquals(_toKick[^1], origin))
        {
            _toKick.Add(origin);
        }
    }

    private void FailHandle(ulong handle)
    {
        if (_slots.TryTake(handle, out OperationOrigin origin, out ulong callId))
        {
            Deliver(origin, callId, _results.Refusal(RefusalCode.StorageFailed, "The replica has stopped serving.", unknown: true));
        }
    }

    private void Touch(ReplicaSlot slot)
    {
        if (!slot.Touched)
        {
            slot.Touched = true;
            _touched.Add(slot);
        }
    }

    private void Guard(ReplicaSlot slot, Action action)
    {
        try
        {
            action();
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }
    }

    private void Fence(ReplicaSlot slot, string reason)
    {
        LoopLog.ReplicaFenced(_log, slot.Replica.Descriptor.Shard, reason);
        slot.Replica.Fence(reason);
    }

    private void FenceAll(string reason)
    {
        foreach (ReplicaSlot slot in _replicas.Values)
        {
            slot.Replica.Fence(reason);
        }

        DeliverCompletions();
        foreach (OperationOrigin origin in _toKick)
        {
            origin.Kick();
        }

        _toKick.Clear();
    }
}
