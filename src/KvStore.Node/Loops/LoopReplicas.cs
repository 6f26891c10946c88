using System.Collections.Immutable;
using KvStore.Core;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Watching;
using KvStore.Node.Peers;
using KvStore.Storage;

namespace KvStore.Node.Loops;

/// <summary>
/// The replicas of one loop. Every call into a replica goes through here, for three things must never be forgotten: its epoch goes with what it sends, a broken invariant fences it and nobody else, and
/// after it was touched it gets a turn at the end of the step.
/// Replicas of idle groups are quiet: a tick concerns only those that are awake, the others are looked at together now and then, so that what they have to say leaves in one frame per peer. Whatever touches a
/// replica may wake it, so that is decided after each turn.
/// </summary>
internal sealed class LoopReplicas(LoopSet set, StorageLoop storage, PeerOutbox outbox, List<Completion> completions, ReplicaClock clock, ILogger log)
{
    private const int CampaignDelayTicks = 3;

    private readonly Dictionary<ShardId, ReplicaSlot> _slots = [];
    private readonly List<ReplicaSlot> _touched = [];
    private readonly List<ReplicaSlot> _awake = [];
    private readonly HashSet<NodeId> _unreachable = [];
    private readonly Dictionary<NodeId, ulong> _boots = [];

    /// <summary>
    /// Twice in the time after which a quiet leader renews its offer. Groups fall silent at any time; looked at more often they would renew in as many frames as there are looks, and each frame wakes threads at both ends.
    /// </summary>
    private readonly int _quietLookTicks = Math.Max(set.CoarseTicks, set.ReplicaOptions.Raft.QuietRenewTicks / 2);
    private readonly ReplicaNews _news = new(set, clock, log);
    private int _ticksForQuiet;

    public IEnumerable<ShardReplica> All => _slots.Values.Select(slot => slot.Replica);

    /// <summary>Whether there is a replica that every tick concerns.</summary>
    public bool AnyAwake => _awake.Count > 0;

    /// <summary>The node is no member any more: nothing is opened.</summary>
    public bool IsRetired { get; set; }

    /// <summary>Nodes that the failure detector has given up.</summary>
    public IReadOnlySet<NodeId> Unreachable => _unreachable;

    public ReplicaSlot? Find(ShardId shard) => _slots.GetValueOrDefault(shard);

    /// <param name="descriptor">The shard, and this node's replica of it.</param>
    /// <param name="random">For the replica.</param>
    /// <param name="isAnew">What was removed of the shard here was another replica, or none.</param>
    public void Open(ShardDescriptor descriptor, Random random, bool isAnew)
    {
        if (_slots.TryGetValue(descriptor.Shard, out ReplicaSlot? known))
        {
            known.Replica.SetMaxLag(descriptor.MaxLag);
            known.Replica.SetProvisionalAfter(descriptor.ProvisionalAfter);
            return;
        }

        if (IsRetired || (set.Storage.WasRemoved(descriptor.Shard) && !isAnew))
        {
            // A node that restarts may read an older catalog first, in which the keyspace is not deleted yet. With its log and its vote gone this replica must not be founded again.
            return;
        }

        IReplicaStorage own = storage.OpenReplica(descriptor.Shard, out RecoveredReplica recovered);
        LoopLog.ReplicaOpened(log, descriptor.Shard, descriptor.Mode.ToString(), recovered.Position.Applied.Value, recovered.Records.Count);
        var replica = new ShardReplica(descriptor, set.OptionsFor(descriptor.Shard), own, outbox, recovered, clock, random, completions);
        var slot = new ReplicaSlot(replica) { Feed = set.Watches?.CreateFeed(descriptor.Shard) };
        if (recovered.Position == ViewPosition.Zero && recovered.Records.Count == 0 && descriptor.Founders[0] == descriptor.Self)
        {
            // The others need a moment to open theirs.
            slot.CampaignIn = CampaignDelayTicks;
        }

        _slots.Add(descriptor.Shard, slot);
        Rouse(slot);
        foreach ((NodeId node, ulong boot) in _boots)
        {
            replica.SetReachable(node, !_unreachable.Contains(node), boot);
        }

        try
        {
            replica.Start();
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }

        Touch(slot);
    }

    /// <summary>The shard's keyspace was deleted, or the replica has moved away: closes the replica, if it is open, and destroys whatever this node has of it. What the replica answers is among the completions.</summary>
    /// <returns>False: there was nothing.</returns>
    public bool Destroy(ShardId shard, bool isDeleted)
    {
        if (!_slots.Remove(shard, out ReplicaSlot? slot))
        {
            return storage.RemoveRecovered(shard);
        }

        _touched.Remove(slot);
        _awake.Remove(slot);
        try
        {
            slot.Replica.Close(isDeleted);
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }

        storage.RemoveReplica(shard);
        return true;
    }

    /// <returns>False: the replica broke and is fenced; what became of the operation is unknown, and it will not be answered.</returns>
    public bool TrySubmit(ReplicaSlot slot, in ClientOperation operation)
    {
        outbox.Epoch = slot.Replica.Descriptor.Epoch;
        Touch(slot);
        try
        {
            slot.Replica.Submit(operation);
            return true;
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
            return false;
        }
    }

    /// <summary>Asks the replica, if it leads, for other members. What becomes of it is seen in its members.</summary>
    public void ChangeMembers(ShardId shard, ImmutableArray<ReplicaPlace> voters, ImmutableArray<ReplicaPlace> learners, long deadlineMs)
    {
        if (Find(shard) is not { } slot)
        {
            return;
        }

        outbox.Epoch = slot.Replica.Descriptor.Epoch;
        try
        {
            slot.Replica.ChangeMembers(handle: 0, voters, learners, deadlineMs);
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }

        Touch(slot);
    }

    /// <summary>Asks the replica, if it leads, to bring the shard into a mode. What becomes of it is seen in its regime.</summary>
    public void ChangeMode(ShardId shard, KeyspaceMode wanted, long deadlineMs)
    {
        if (Find(shard) is not { } slot)
        {
            return;
        }

        outbox.Epoch = slot.Replica.Descriptor.Epoch;
        try
        {
            slot.Replica.ChangeMode(handle: 0, wanted, deadlineMs);
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }

        Touch(slot);
    }

    /// <summary>Asks the replica, if it leads, to let the one on another node lead.</summary>
    /// <returns>Whether that has begun.</returns>
    public bool TransferLeadership(ShardId shard, NodeId to)
    {
        if (Find(shard) is not { } slot)
        {
            return false;
        }

        outbox.Epoch = slot.Replica.Descriptor.Epoch;
        Touch(slot);
        try
        {
            return slot.Replica.TransferLeadership(to);
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
            return false;
        }
    }

    /// <summary>Hands over the message at which the reader stands: one of Raft, or a page of a snapshot.</summary>
    public void Receive(NodeId from, ReplicaSlot slot, in PeerFrameReader reader)
    {
        outbox.Epoch = slot.Replica.Descriptor.Epoch;
        try
        {
            if (reader.Item == PeerFrameItem.Raft)
            {
                slot.Replica.Receive(from, reader.Raft);
            }
            else
            {
                slot.Replica.Receive(from, reader.Snapshot);
            }
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }

        Touch(slot);
    }

    /// <summary>Hands over a message of another replica's dotted engine.</summary>
    public void Receive(NodeId from, ReplicaSlot slot, DottedMessageKind kind, ReadOnlyMemory<byte> payload)
    {
        outbox.Epoch = slot.Replica.Descriptor.Epoch;
        try
        {
            slot.Replica.Receive(from, kind, payload);
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }

        Touch(slot);
    }

    /// <summary>Storage reports something about one shard.</summary>
    public void Report(in StorageEvent e)
    {
        if (!_slots.TryGetValue(e.Shard, out ReplicaSlot? slot))
        {
            return;
        }

        try
        {
            Report(slot.Replica, e);
        }
        catch (InvariantViolationException broken)
        {
            Fence(slot, broken.Message);
        }

        Touch(slot);
    }

    /// <summary>The log is durable up to here: for all shards at once, since they share it.</summary>
    public void OnDurable(LogPosition position)
    {
        foreach (ReplicaSlot slot in _slots.Values)
        {
            if (!slot.Replica.WaitsForDurable)
            {
                continue;
            }

            outbox.Epoch = slot.Replica.Descriptor.Epoch;
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
    }

    /// <param name="ticks">How many have passed. Replicas that are awake are ticked once: a machine that was busy must not make them believe in a long silence.</param>
    public void Tick(int ticks)
    {
        foreach (ReplicaSlot slot in _awake)
        {
            outbox.Epoch = slot.Replica.Descriptor.Epoch;
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

        foreach (ReplicaSlot slot in _awake)
        {
            _news.OnTick(slot);
        }

        _awake.RemoveAll(FallsAsleep);
        _ticksForQuiet += ticks;
        if (_ticksForQuiet >= _quietLookTicks)
        {
            TickQuiet(_ticksForQuiet);
            _ticksForQuiet = 0;
        }
    }

    /// <summary>Tells the metrics how far the peers are behind. About once a second.</summary>
    public void RecordLags()
    {
        _news.RecordLags(All);
        WarmPays = All.Any(replica => replica.WarmPays);
    }

    /// <summary>Some replica has so many records that <see cref="LookAhead"/> pays.</summary>
    public bool WarmPays { get; private set; }

    /// <param name="node">A peer.</param>
    /// <param name="reachable">Whether it is heard and hears this node.</param>
    /// <param name="boot">Which life of it is heard.</param>
    /// <returns>Whether it became reachable or unreachable.</returns>
    public bool SetReachable(NodeId node, bool reachable, ulong boot)
    {
        bool news = reachable ? _unreachable.Remove(node) : _unreachable.Add(node);
        bool restarted = !_boots.TryGetValue(node, out ulong known) || known != boot;
        _boots[node] = boot;
        if (news || restarted)
        {
            foreach (ReplicaSlot slot in _slots.Values)
            {
                outbox.Epoch = slot.Replica.Descriptor.Epoch;
                slot.Replica.SetReachable(node, reachable, boot);
                Touch(slot);
            }
        }

        return news;
    }

    /// <summary>A connection to the peer broke.</summary>
    public void OnPeerLost(NodeId node)
    {
        foreach (ReplicaSlot slot in _slots.Values)
        {
            slot.Replica.OnPeerLost(node);
            Touch(slot);
        }
    }

    /// <summary>Gives every replica that was touched its turn: it appends to the log, sends, applies, answers.</summary>
    public void Turn()
    {
        foreach (ReplicaSlot slot in _touched)
        {
            slot.Touched = false;
            outbox.Epoch = slot.Replica.Descriptor.Epoch;
            try
            {
                slot.Replica.Turn();
            }
            catch (InvariantViolationException broken)
            {
                Fence(slot, broken.Message);
            }

            Publish(slot);
            WarmPays |= slot.Replica.WarmPays;
            _news.OnTurn(slot);
            if (!slot.Awake && !slot.Replica.IsQuiet)
            {
                Rouse(slot);
            }
        }

        _touched.Clear();
    }

    /// <summary>Reads a page of what a replica holds, for a watch that begins with that.</summary>
    public void ScanForWatch(ShardId shard, ReadOnlyMemory<byte> prefix, ReadOnlyMemory<byte> after, int maxRecords, int maxBytes, Action<WatchPage> then)
    {
        if (Find(shard) is { Replica: { Watch: { Unfit: null } watch, FencedBecause: null } } slot)
        {
            try
            {
                watch.Scan(prefix, after, maxRecords, maxBytes, then);
            }
            catch (InvariantViolationException broken)
            {
                Fence(slot, broken.Message);
            }

            Touch(slot);
        }
    }

    /// <summary>A watch waits for what may have been applied long ago without changing anything.</summary>
    public void MarkForWatch(ShardId shard)
    {
        if (Find(shard) is { Replica.Watch: { } watch } slot)
        {
            watch.Mark();
            Publish(slot);
        }
    }

    /// <summary>Seals every replica; the answers of what waits are in the completions.</summary>
    public void Stop()
    {
        foreach (ReplicaSlot slot in _slots.Values)
        {
            try
            {
                slot.Replica.Stop();
            }
            catch (InvariantViolationException broken)
            {
                Fence(slot, broken.Message);
            }
        }
    }

    public void FenceAll(string reason)
    {
        foreach (ReplicaSlot slot in _slots.Values)
        {
            slot.Replica.Fence(reason);
        }
    }

    private static void Publish(ReplicaSlot slot)
    {
        if (slot is { Feed: { } feed, Replica.Watch: { HasChanges: true } watch })
        {
            feed.Publish(watch);
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

    private static bool FallsAsleep(ReplicaSlot slot)
    {
        slot.Awake = slot.CampaignIn > 0 || !slot.Replica.IsQuiet;
        return !slot.Awake;
    }

    private void Rouse(ReplicaSlot slot)
    {
        slot.Awake = true;
        _awake.Add(slot);
    }

    private void TickQuiet(int ticks)
    {
        foreach (ReplicaSlot slot in _slots.Values)
        {
            if (slot.Awake)
            {
                continue;
            }

            outbox.Epoch = slot.Replica.Descriptor.Epoch;
            try
            {
                slot.Replica.TickQuiet(ticks);
            }
            catch (InvariantViolationException broken)
            {
                Fence(slot, broken.Message);
            }

            if (!slot.Replica.IsQuiet)
            {
                Touch(slot);
            }
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

    private void Fence(ReplicaSlot slot, string reason)
    {
        LoopLog.ReplicaFenced(log, slot.Replica.Descriptor.Shard, reason);
        slot.Replica.Fence(reason);
    }
}
