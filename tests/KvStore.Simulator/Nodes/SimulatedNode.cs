using System.Collections.Immutable;
using KvStore.Core;
using KvStore.Core.Detection;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Simulator.Checks;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Network;
using KvStore.Storage;

namespace KvStore.Simulator.Nodes;

/// <summary>
/// One node with one replica: the production replica over the production storage, stepped as the node's shard loop steps it. It can be paused, stopped, killed, lose its power or its disk.
/// </summary>
internal sealed class SimulatedNode
{
    public static readonly ShardId Shard = new(7, 0);

    private const int HeartbeatUs = 50_000;

    private readonly SimulatedCluster _cluster;
    private readonly Random _random;
    private readonly List<(string What, Action<ShardReplica> Act)> _inbox = [];
    private readonly List<Completion> _completions = [];
    private readonly Dictionary<ulong, Action<ScanPage>> _scans = [];
    private readonly NodeTransport _transport;
    private SimulatedDisk _disk = new();
    private NodeStorage? _storage;
    private StorageLoop? _loop;
    private VirtualScheduler? _scheduler;
    private Reachability? _detector;
    private ReplicaClock _clock = new();
    private ulong _lastScan;
    private long _pausedUntilUs;
    private bool _stepPlanned;
    private bool _tickWaits;

    public SimulatedNode(SimulatedCluster cluster, int index, Random random)
    {
        _cluster = cluster;
        _random = random;
        Index = index;
        Id = new NodeId((uint)index + 1);
        _transport = new NodeTransport(this, cluster.Network, id => cluster.Nodes[(int)id.Value - 1], cluster.Trace);
    }

    public int Index { get; }

    public NodeId Id { get; }

    public bool IsUp => Replica is not null;

    public ShardReplica? Replica { get; private set; }

    /// <summary>The replica's own storage, to look at.</summary>
    public IReplicaStorage? View { get; private set; }

    /// <summary>Counts starts.</summary>
    public int Incarnation { get; private set; }

    /// <summary>Milliseconds by which this node's wall clock is wrong.</summary>
    public long WallSkewMs { get; set; }

    /// <summary>How fast this node's timer runs.</summary>
    public double TickFactor { get; set; } = 1;

    public void Start()
    {
        Invariant.Assert(!IsUp);
        Incarnation++;
        _inbox.Clear();
        _completions.Clear();
        _scans.Clear();
        _tickWaits = false;
        _clock = new ReplicaClock();
        SetClock();
        _scheduler = new VirtualScheduler(_cluster.Timeline, _random);
        _storage = NodeStorage.Open(new StorageOptions
        {
            ClusterId = "simulated",
            NodeId = Id,
            Engine = StorageEngine.Memory,
            Disk = _disk,
            SegmentBytes = 64 * 1024,
            RetainedLogBytes = 128 * 1024,
            TableBytes = _cluster.Settings.TableBytes,
            PreloadBytes = _cluster.Settings.PreloadBytes,
            Scheduler = _scheduler,
        });
        _loop = _storage.CreateLoop(new IncarnationSink(this, Incarnation));
        View = _loop.OpenReplica(Shard, out RecoveredReplica recovered);
        var places = _cluster.Nodes.Select(node => new ReplicaPlace(node.Id, new ReplicaId(node.Id.Value))).ToImmutableArray();
        var descriptor = new ShardDescriptor(Shard, new Epoch(1), _cluster.Settings.Mode, places, Id) { MaxLag = _cluster.Settings.MaxLag };
        Replica = new ShardReplica(descriptor, _cluster.Settings.Replica, new WatchedStorage(View, _cluster.LostWrites), _transport, recovered, _clock, new Random(_random.Next()), _completions);
        _detector = new Reachability(Id, PhiAccrualOptions.Default, claimLifetimeMs: 500);
        _cluster.Trace.Add("start", Index, recovered.Position.Applied.Value, (ulong)recovered.Records.Count);
        Guarded("start", Replica.Start);
        PlanStep();
        PlanTick(Incarnation);
        PlanHeartbeat(Incarnation);
    }

    /// <summary>The process dies. With the power, what was not synced goes as well, each sector as chance has it.</summary>
    public void Crash(bool power)
    {
        Invariant.Assert(IsUp);
        _scheduler!.IsDead = true;
        _storage!.Abandon();
        if (power)
        {
            _disk.Crash(_random);
        }
        else
        {
            _disk.Kill();
        }

        _disk.NextSyncError = null;
        Forget();
    }

    /// <summary>The process ends in good order.</summary>
    public void Stop()
    {
        Guarded("stop", Replica!.Stop);
        Deliver();
        _storage!.Dispose();
        _scheduler!.IsDead = true;
        Forget();
    }

    /// <summary>The node comes back with an empty disk.</summary>
    public void LoseDisk()
    {
        Invariant.Assert(!IsUp);
        _disk = new SimulatedDisk();
    }

    public void Pause(long us) => _pausedUntilUs = Math.Max(_pausedUntilUs, _cluster.Timeline.NowUs + us);

    public void StallDisk(long us)
    {
        if (_scheduler is { } scheduler)
        {
            scheduler.StalledUntilUs = Math.Max(scheduler.StalledUntilUs, _cluster.Timeline.NowUs + us);
        }
    }

    public void BreakDisk()
    {
        if (IsUp)
        {
            _disk.NextSyncError = new IOException("The simulated disk gave up.");
        }
    }

    public void Recover()
    {
        _pausedUntilUs = 0;
        _disk.NextSyncError = null;
        TickFactor = 1;
        if (_scheduler is { } scheduler)
        {
            scheduler.StalledUntilUs = 0;
        }
    }

    /// <summary>Puts something into the loop's inbox. Lost if the node is down.</summary>
    public void Post(string what, Action<ShardReplica> act)
    {
        if (IsUp)
        {
            _inbox.Add((what, act));
            PlanStep();
        }
    }

    public void HearHeartbeat(NodeId from, int incarnation, bool hearsUs)
    {
        if (IsUp && _pausedUntilUs <= _cluster.Timeline.NowUs)
        {
            _detector!.OnHeartbeat(from, (ulong)incarnation, hearsUs, _cluster.Timeline.NowMs);
        }
    }

    /// <summary>Reads everything in the view, beside the replica.</summary>
    public void Dump(Action<IReadOnlyList<ScannedRecord>> then) => DumpPage(default, [], then);

    private void DumpPage(ScannedRecord after, List<ScannedRecord> found, Action<IReadOnlyList<ScannedRecord>> then)
    {
        ulong tag = ulong.MaxValue - ++_lastScan;
        _scans.Add(tag, page =>
        {
            found.AddRange(page.Records);
            if (page.More)
            {
                DumpPage(page.Records[^1], found, then);
            }
            else
            {
                then(found);
            }
        });
        View!.BeginScan(new ScanRequest { Tag = tag, After = after.Key, AfterSpace = after.Space, MaxRecords = 1_000, MaxBytes = 1 << 20 });
    }

    private void Step()
    {
        _stepPlanned = false;
        if (!IsUp)
        {
            return;
        }

        if (_pausedUntilUs > _cluster.Timeline.NowUs)
        {
            PlanStep();
            return;
        }

        SetClock();
        (string What, Action<ShardReplica> Act)[] items = [.. _inbox];
        _inbox.Clear();
        foreach ((string what, Action<ShardReplica> act) in items)
        {
            if (!IsUp)
            {
                return;
            }

            _cluster.Trace.Add(what, Index);
            Guarded(what, () => act(Replica!));
        }

        Guarded("turn", Replica!.Turn);
        Deliver();
        _loop!.Submit();
        _cluster.AfterStep(this);
    }

    private void Deliver()
    {
        foreach (Completion completion in _completions)
        {
            _cluster.Complete(this, completion);
        }

        _completions.Clear();
    }

    private void HandleStorage(in StorageEvent e)
    {
        StorageEvent report = e;
        switch (e.Kind)
        {
            case StorageEventKind.Durable:
                Post("durable", replica =>
                {
                    if (replica.WaitsForDurable)
                    {
                        replica.OnDurable(report.Durable);
                    }
                });
                break;
            case StorageEventKind.Loaded:
                Post("loaded", replica => replica.OnLoaded(report.Tag));
                break;
            case StorageEventKind.Scanned when _scans.Remove(e.Page!.Tag, out Action<ScanPage>? own):
                own(e.Page);
                break;
            case StorageEventKind.Scanned:
                Post("scanned", replica => replica.OnScanned(report.Page!));
                break;
            case StorageEventKind.Installed:
                _cluster.Trace.Count("snapshot installed");
                Post("installed", replica => replica.OnInstalled(report.Position));
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

    private void PlanStep()
    {
        if (_stepPlanned)
        {
            return;
        }

        _stepPlanned = true;
        _cluster.Timeline.After(Math.Max(_random.Next(1, 120), _pausedUntilUs - _cluster.Timeline.NowUs), Step);
    }

    private void PlanTick(int incarnation) => _cluster.Timeline.After((long)(_cluster.Settings.Replica.TickMs * 1_000 * TickFactor), () =>
    {
        if (!IsUp || incarnation != Incarnation)
        {
            return;
        }

        // A timer that fires while the process stands still fires once.
        if (!_tickWaits)
        {
            _tickWaits = true;
            Post("tick", Tick);
        }

        PlanTick(incarnation);
    });

    private void Tick(ShardReplica replica)
    {
        _tickWaits = false;
        replica.Tick();
        foreach (SimulatedNode peer in _cluster.Nodes)
        {
            if (peer != this)
            {
                replica.SetReachable(peer.Id, _detector!.LinkTo(peer.Id, _cluster.Timeline.NowMs).Hearing != Liveness.Down);
            }
        }
    }

    private void PlanHeartbeat(int incarnation) => _cluster.Timeline.After(HeartbeatUs, () =>
    {
        if (!IsUp || incarnation != Incarnation)
        {
            return;
        }

        foreach (SimulatedNode peer in _cluster.Nodes)
        {
            if (peer != this && _pausedUntilUs <= _cluster.Timeline.NowUs)
            {
                bool hears = _detector!.Hears(peer.Id, _cluster.Timeline.NowMs);
                _cluster.Network.Send(Index, peer.Index, () => peer.HearHeartbeat(Id, incarnation, hears));
            }
        }

        PlanHeartbeat(incarnation);
    });

    private void Guarded(string what, Action action)
    {
        try
        {
            action();
        }
        catch (InvariantViolationException broken)
        {
            throw new SimulationFailedException($"{Id} broke an invariant at '{what}': {broken}");
        }
    }

    private void SetClock() => _clock.Set(_cluster.Timeline.NowMs, (ulong)(1_700_000_000_000 + _cluster.Timeline.NowMs + WallSkewMs));

    private void Forget()
    {
        Replica = null;
        View = null;
        _storage = null;
        _loop = null;
        _inbox.Clear();
        _completions.Clear();
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
