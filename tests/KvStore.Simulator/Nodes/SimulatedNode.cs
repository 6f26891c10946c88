using System.Collections.Immutable;
using KvStore.Core;
using KvStore.Core.Consensus;
using KvStore.Core.Detection;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Network;
using KvStore.Storage;
using KvStore.Storage.Log;

namespace KvStore.Simulator.Nodes;

/// <summary>
/// One node with one replica: the production replica over the production storage, stepped as the node's shard loop steps it. It can be paused, slowed, stopped, killed, lose its power or its disk.
/// </summary>
internal sealed class SimulatedNode
{
    public static readonly ShardId Shard = new(7, 0);

    private const int HeartbeatUs = 50_000;

    private readonly SimulatedCluster _cluster;
    private readonly Random _random;
    private readonly NodeTransport _transport;
    private readonly List<Completion> _completions = [];
    private readonly ViewDump _dump = new();
    private List<(string What, Action<ShardReplica> Act)> _inbox = [];
    private List<(string What, Action<ShardReplica> Act)> _current = [];
    private NodeStorage? _storage;
    private StorageLoop? _loop;
    private Reachability? _detector;
    private long _pausedUntilUs;
    private long _durableNotBeforeUs;
    private bool _stepPlanned;
    private bool _tickWaits;

    public SimulatedNode(SimulatedCluster cluster, int index, Random random)
    {
        _cluster = cluster;
        _random = random;
        Index = index;
        Id = new NodeId((uint)index + 1);
        ReplicaId = index < cluster.Settings.FoundingNodes ? new ReplicaId(Id.Value) : default;
        Clock = new NodeClock(cluster.Timeline);
        Disk = new NodeDisk(cluster.Settings, cluster.Timeline, random, Id);
        _transport = new NodeTransport(this, cluster.Network, id => cluster.Nodes[(int)id.Value - 1], cluster.Trace);
    }

    /// <summary>Whether its shard is adaptive.</summary>
    public bool IsAdaptive => _cluster.Settings is { IsAdaptive: true, SwitchesToAdaptive: false };

    public int Index { get; }

    public NodeId Id { get; }

    public NodeClock Clock { get; }

    public NodeDisk Disk { get; }

    /// <summary>Under which id this node's replica runs; none: it has no replica, and its process is down. Changed only while it is down.</summary>
    public ReplicaId ReplicaId { get; set; }

    public ReplicaPlace Place => new(Id, ReplicaId);

    public bool IsUp => Replica is not null;

    public bool IsPaused => _pausedUntilUs > _cluster.Timeline.NowUs;

    public ShardReplica? Replica { get; private set; }

    /// <summary>The replica's own storage, to look at.</summary>
    public IReplicaStorage? View { get; private set; }

    /// <summary>Counts starts.</summary>
    public int Incarnation { get; private set; }

    /// <summary>Not null: the last start was refused because of what stands on the disk, and the node stays down until that is put right.</summary>
    public string? RefusesToStart { get; private set; }

    /// <summary>Whether the node refuses puts because its disk is nearly full.</summary>
    public bool IsDiskLow => _storage?.IsDiskLow == true;

    /// <summary>By how much each step of this node is late: a slow machine.</summary>
    public int StepDelayUs { get; set; }

    /// <summary>Starts the process. Returns false if it does not come up: the disk is full, or damaged. A node without a replica has nothing to start.</summary>
    public bool Start()
    {
        Invariant.Assert(!IsUp);
        if (ReplicaId.IsNone)
        {
            return true;
        }

        Incarnation++;
        _cluster.Planted.BeforeStart(this);
        _stepPlanned = false;
        _tickWaits = false;
        _durableNotBeforeUs = 0;
        Clock.Restart(_random);
        if (!OpenStorage(out RecoveredReplica? recovered))
        {
            return false;
        }

        RecoveredReplica given = _cluster.Planted.Recover(this, recovered!);
        IReplicaStorage storage = _cluster.Watch.OnStart(this, given, _cluster.Planted.Over(this, View!));
        var founders = _cluster.Nodes.Take(_cluster.Settings.FoundingNodes).Select(node => new ReplicaPlace(node.Id, new ReplicaId(node.Id.Value))).ToImmutableArray();
        var descriptor = new ShardDescriptor(Shard, new Epoch(1), _cluster.Settings.Mode, founders, Place) { MaxLag = _cluster.Settings.MaxLag, ProvisionalAfter = _cluster.Settings.ProvisionalAfter, Conflicts = _cluster.Settings.Conflicts, MemoryBytes = _cluster.Settings.MemoryBytes };
        Replica = new ShardReplica(descriptor, _cluster.Settings.Replica, storage, _cluster.Planted.Over(this, _transport), given, Clock.Replica, _cluster.Planted.Chance(this, new Random(_random.Next())), _completions);
        _detector = new Reachability(Id, ReachabilityOptions.Default);
        _cluster.Trace.Add("start", Index, recovered!.Position.Applied.Value, (ulong)recovered.Records.Count);
        Guarded("start", Replica.Start);
        PlanStep();
        PlanTick(Incarnation);
        PlanHeartbeat(Incarnation);
        if (_cluster.Rare.Hits(RareBranch.CrashAtStart))
        {
            _cluster.CrashSoon(this);
        }

        return true;
    }

    /// <summary>The process dies. With the power, what was not synced goes as well.</summary>
    public void Crash(bool power)
    {
        Invariant.Assert(IsUp);
        _storage!.Abandon();
        Disk.Crash(power);
        Forget();
    }

    /// <summary>The process ends in good order.</summary>
    public void Stop()
    {
        Guarded("stop", Replica!.Stop);
        Deliver();
        _storage!.Dispose();
        Disk.Scheduler.IsDead = true;
        Forget();
    }

    public void Pause(long us) => _pausedUntilUs = Math.Max(_pausedUntilUs, _cluster.Timeline.NowUs + us);

    /// <summary>What passes of itself has passed. Damage stays.</summary>
    public void Calm()
    {
        if (IsPaused)
        {
            _pausedUntilUs = 0;
            _stepPlanned = false;
            PlanStep();
        }

        StepDelayUs = 0;
        Disk.Calm();
        Clock.Rate = 1;
        Clock.WallSkewMs = 0;
    }

    /// <summary>Puts something into the loop's inbox. Lost if the node is down.</summary>
    public void Post(string what, Action<ShardReplica> act)
    {
        if (IsUp)
        {
            _inbox.Add((what, act));
            if (!_cluster.Rare.Hits(RareBranch.LostWakeup))
            {
                PlanStep();
            }
        }
    }

    /// <summary>A message of a peer's replica has come to this one.</summary>
    public void Receive(ShardReplica replica, NodeId from, RaftMessage message)
    {
        _cluster.Planted.Receive(this, ref message);
        replica.Receive(from, message);
    }

    public void HearHeartbeat(NodeId from, int incarnation, bool hearsUs)
    {
        if (IsUp && !IsPaused)
        {
            _detector!.OnHeartbeat(from, (ulong)incarnation, hearsUs, Clock.NowMs);
        }
    }

    /// <summary>Reads everything in the view, beside the replica.</summary>
    public void Dump(Action<IReadOnlyList<ScannedRecord>> then) => _dump.Begin(View!, then);

    /// <summary>At some of these moments, the power fails.</summary>
    public void CrashAt(RareBranch point)
    {
        if (IsUp && _cluster.Rare.Hits(point))
        {
            _cluster.CrashSoon(this);
        }
    }

    private bool OpenStorage(out RecoveredReplica? recovered)
    {
        RefusesToStart = null;
        recovered = null;
        try
        {
            _storage = Disk.Open();
            _loop = _storage.CreateLoop(new IncarnationSink(this, Incarnation));
            View = _loop.OpenReplica(Shard, out recovered);
        }
        catch (IOException)
        {
            GiveUpStart("start failed");
            return false;
        }
        catch (Exception damage) when (damage is LogCorruptException or StorageRefusedException or InvalidDataException)
        {
            if (!Disk.IsDamaged)
            {
                throw new SimulationFailedException("StartsUndamaged", $"{Id} refuses to start although nobody has damaged its disk: {damage}");
            }

            RefusesToStart = damage.Message;
            _cluster.Rare.Meet(RareBranch.SeenStartRefused);
            GiveUpStart("start refused");
            return false;
        }

        Disk.ForgetDamage();
        return true;
    }

    private void GiveUpStart(string why)
    {
        _cluster.Trace.Add(why, Index);
        _cluster.Trace.Count(why);
        _storage?.Abandon();
        Disk.Scheduler.IsDead = true;
        Disk.Crash(power: false);
        Forget();
    }

    private void Step()
    {
        _stepPlanned = false;
        if (!IsUp)
        {
            return;
        }

        if (IsPaused)
        {
            PlanStep();
            return;
        }

        RareBranches rare = _cluster.Rare;
        Clock.Set();
        (_current, _inbox) = (_inbox, _current);
        foreach ((string what, Action<ShardReplica> act) in _current)
        {
            if (!IsUp)
            {
                break;
            }

            _cluster.Trace.Add(what, Index);
            Guarded(what, act);
            if (IsUp && rare.Hits(RareBranch.TurnAfterEachInput))
            {
                Guarded("turn", Turn);
            }
        }

        _current.Clear();
        if (!IsUp)
        {
            return;
        }

        Guarded("turn", Turn);
        if (rare.Hits(RareBranch.TurnTwice))
        {
            Guarded("turn", Turn);
        }

        Deliver();
        _loop!.Submit();
        _cluster.AfterStep(this);
    }

    private static void Turn(ShardReplica replica) => replica.Turn();

    private void Deliver()
    {
        _cluster.Planted.Answer(this, _completions);
        foreach (Completion completion in _completions)
        {
            _cluster.Complete(this, completion);
        }

        _completions.Clear();
    }

    private void HandleStorage(in StorageEvent e)
    {
        RareBranches rare = _cluster.Rare;
        StorageEvent report = e;
        switch (e.Kind)
        {
            case StorageEventKind.Durable:
                ReportDurable(report.Durable);
                CrashAt(RareBranch.CrashAtDurable);
                break;
            case StorageEventKind.Loaded:
                rare.Meet(RareBranch.SeenLoadFromView);
                PostLate("loaded", replica => replica.OnLoaded(report.Tag));
                break;
            case StorageEventKind.Scanned when _dump.TryTake(e.Page!):
                break;
            case StorageEventKind.Scanned:
                PostLate("scanned", replica => replica.OnScanned(report.Page!));
                CrashAt(RareBranch.CrashAtScan);
                break;
            case StorageEventKind.Installed:
                _cluster.Trace.Count("snapshot installed");
                rare.Meet(RareBranch.SeenSnapshotInstalled);
                Post("installed", replica => replica.OnInstalled(report.Position));
                CrashAt(RareBranch.CrashAtInstalled);
                break;
            default:
                Post("storage failed", replica =>
                {
                    replica.Fence(report.Error?.Message ?? "storage failed");
                    _cluster.OnStorageFailed(this);
                });
                break;
        }
    }

    /// <summary>Reports of durability come in their order, however late.</summary>
    private void ReportDurable(LogPosition position)
    {
        long nowUs = _cluster.Timeline.NowUs;
        if (_cluster.Rare.Hits(RareBranch.LateDurableReport))
        {
            _durableNotBeforeUs = nowUs + _cluster.Rare.DelayUs(300_000);
        }

        PostAfter(_durableNotBeforeUs - nowUs, "durable", replica =>
        {
            if (replica.WaitsForDurable)
            {
                replica.OnDurable(position);
            }
        });
    }

    private void PostLate(string what, Action<ShardReplica> act) =>
        PostAfter(_cluster.Rare.Hits(RareBranch.LateLoad) ? _cluster.Rare.DelayUs(200_000) : 0, what, act);

    private void PostAfter(long delayUs, string what, Action<ShardReplica> act)
    {
        if (delayUs <= 0)
        {
            Post(what, act);
            return;
        }

        int incarnation = Incarnation;
        _cluster.Timeline.After(delayUs, () =>
        {
            if (incarnation == Incarnation)
            {
                Post(what, act);
            }
        });
    }

    private void PlanStep()
    {
        if (_stepPlanned)
        {
            return;
        }

        _stepPlanned = true;
        long delayUs = _random.Next(1, 120) + StepDelayUs;
        if (_cluster.Rare.Hits(RareBranch.LateStep))
        {
            delayUs += _cluster.Rare.DelayUs(40_000);
        }

        _cluster.Timeline.After(Math.Max(delayUs, _pausedUntilUs - _cluster.Timeline.NowUs), Step);
    }

    private void PlanTick(int incarnation) => _cluster.Timeline.After(Clock.TrueUs(_cluster.Settings.Replica.TickMs * 1_000), () =>
    {
        if (!IsUp || incarnation != Incarnation)
        {
            return;
        }

        // A timer that fires while the process stands still fires once.
        if (!_tickWaits && _cluster.Planted.MayTick(this) && !_cluster.Rare.Hits(RareBranch.SkippedTick))
        {
            _tickWaits = true;
            Post("tick", Tick);
            PlanStep();
        }

        PlanTick(incarnation);
    });

    private void Tick(ShardReplica replica)
    {
        RareBranches rare = _cluster.Rare;
        _tickWaits = false;
        replica.Tick();
        if (rare.Hits(RareBranch.EarlyTick))
        {
            replica.Tick();
        }

        bool isSuspicious = rare.Hits(RareBranch.FalseSuspicion);
        foreach (SimulatedNode peer in _cluster.Nodes)
        {
            if (peer != this)
            {
                replica.SetReachable(peer.Id, !isSuspicious && IsReachable(peer), _detector!.BootOf(peer.Id));
            }
        }

        if (rare.Hits(RareBranch.SpuriousCampaign))
        {
            replica.Campaign();
        }

        if (rare.Hits(RareBranch.ForcedFlush))
        {
            _storage!.RequestFlush();
        }
    }

    /// <summary>Of one that was never heard nothing is said: a whole cluster that starts must not look like one that fell apart.</summary>
    private bool IsReachable(SimulatedNode peer)
    {
        LinkState link = _detector!.LinkTo(peer.Id, Clock.NowMs);
        return link.Hearing == Liveness.Unknown || link.Counts;
    }

    private void PlanHeartbeat(int incarnation) => _cluster.Timeline.After(HeartbeatUs, () =>
    {
        if (!IsUp || incarnation != Incarnation)
        {
            return;
        }

        if (!IsPaused)
        {
            foreach (SimulatedNode peer in _cluster.Nodes)
            {
                if (peer != this)
                {
                    bool hears = _detector!.Hears(peer.Id, Clock.NowMs);
                    _cluster.Network.Send(Index, peer.Index, () => peer.HearHeartbeat(Id, incarnation, hears));
                }
            }
        }

        PlanHeartbeat(incarnation);
    });

    private void Guarded(string what, Action<ShardReplica> action)
    {
        try
        {
            action(Replica!);
        }
        catch (InvariantViolationException) when (what.StartsWith(NodeTransport.RaftArrival, StringComparison.Ordinal) && _cluster.Watch.HadTwoLeadersIn(Replica!.Term))
        {
            _cluster.Trace.Fault("TwoLeadersFenced", Index);
            _cluster.FencedByTwoLeaders(this);
        }
        catch (InvariantViolationException broken)
        {
            throw new SimulationFailedException(SimulationFailedException.Invariants, $"{Id} broke an invariant at '{what}': {broken}");
        }
    }

    private void Guarded(string what, Action action) => Guarded(what, _ => action());

    private void Forget()
    {
        _pausedUntilUs = 0;
        Replica = null;
        View = null;
        _storage = null;
        _loop = null;
        _inbox.Clear();
        _completions.Clear();
        _dump.Clear();
        _cluster.OnDown(this);
    }

    /// <summary>Reports of an incarnation that is gone reach nobody.</summary>
    private sealed class IncarnationSink(SimulatedNode node, int incarnation) : IStorageSink
    {
        public void Post(in StorageEvent e)
        {
            if (node.Incarnation == incarnation && node.IsUp)
            {
                node.HandleStorage(e);
            }
        }
    }
}
