using KvStore.Core;
using KvStore.Core.Detection;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Catalog;
using KvStore.Node.Loops;
using KvStore.Node.Peers;
using KvStore.Simulator.Engine;
using KvStore.Simulator.Nodes;
using KvStore.Storage;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Simulator.Clusters;

/// <summary>
/// A whole node: the production loops with all their shards, catalog, router and forwarding over the production storage with its one log. Simulated are only the disk, the sockets, the threads and the clocks.
/// </summary>
internal sealed class ClusterNode(World world, int index, Random random)
{
    private const int HeartbeatUs = 50_000;
    private const int MaxFrameBytes = 1_048_576;
    private const int StopUs = 3_000;

    private readonly SimulatedDisk _disk = new();
    private readonly List<ServerConnection> _clients = [];
    private readonly HashSet<int> _unreachable = [];
    private readonly Dictionary<int, ulong> _boots = [];
    private NodeStorage? _storage;
    private VirtualScheduler? _disks;
    private VirtualLoopScheduler? _turns;
    private NodeLinks? _links;
    private Reachability? _detector;
    private bool _stopping;
    private bool _storageFailed;

    public World World { get; } = world;

    public int Index { get; } = index;

    public NodeId Id { get; } = new((uint)index + 1);

    public Random Dice { get; } = random;

    public bool IsUp => Loops is not null;

    public LoopSet? Loops { get; private set; }

    public TopologyFeed? Topology { get; private set; }

    /// <summary>Counts starts.</summary>
    public int Incarnation { get; private set; }

    public long PausedUntilUs { get; private set; }

    public bool IsPaused => PausedUntilUs > World.Timeline.NowUs;

    /// <summary>Milliseconds by which this node's wall clock is wrong.</summary>
    public long WallSkewMs { get; set; }

    /// <summary>How fast this node's timer runs.</summary>
    public double TickFactor { get; set; } = 1;

    /// <summary>By how much each step of this node is late: a slow machine.</summary>
    public int StepDelayUs { get; set; }

    public IEnumerable<ShardReplica> Replicas => Loops?.Loops.SelectMany(loop => loop.Replicas) ?? [];

    /// <summary>Starts the process. False: the disk refused the very first write, and the process has ended again.</summary>
    public bool Start()
    {
        Invariant.Assert(!IsUp);
        Incarnation++;
        _unreachable.Clear();
        _boots.Clear();
        _storageFailed = false;
        var time = new VirtualTime(World.Timeline);
        _disks = new VirtualScheduler(World.Timeline, Dice);
        try
        {
            _storage = NodeStorage.Open(new StorageOptions
            {
                ClusterId = "simulated",
                NodeId = Id,
                Engine = StorageEngine.Memory,
                Disk = _disk,
                SegmentBytes = 64 * 1024,
                RetainedLogBytes = 256 * 1024,
                TableBytes = World.Settings.TableBytes,
                PreloadBytes = World.Settings.PreloadBytes,
                Scheduler = _disks,
            });
        }
        catch (IOException)
        {
            World.Trace.Count("start failed");
            _disks.IsDead = true;
            return false;
        }

        _links = new NodeLinks(this, World.Nodes, time);
        _turns = new VirtualLoopScheduler(World.Timeline, this, Dice);
        _detector = new Reachability(Id, ReachabilityOptions.Default);
        var router = new ShardRouter(Id);
        Topology = new TopologyFeed(Id, router);
        Loops = new LoopSet(
            Id, World.Settings.Loops, _storage, () => new PeerOutbox(_links, _links.Pool, MaxFrameBytes), router, World.Settings.Replica, _turns, NullLogger<LoopSet>.Instance);
        Loops.LeaderChanged += Topology.SetLeader;
        Loops.RegimeChanged += Topology.SetRegime;
        Loops.Failed += OnFailed;
        World.Trace.Add("start", Index, (ulong)Incarnation);
        new CatalogFollower(World.Catalog, 0, Loops, Topology, _ => { }, Dice.Next, NullLogger<CatalogFollower>.Instance).Start();
        Loops.Start();
        _links.Start();
        PlanHeartbeat(Incarnation);
        return true;
    }

    /// <summary>The process dies. With the power, what was not synced goes as well, each sector as chance has it.</summary>
    public void Crash(bool power)
    {
        Invariant.Assert(IsUp);
        Loops!.Halt();
        _storage!.Abandon();
        if (power)
        {
            _disk.Crash(Dice);
        }
        else
        {
            _disk.Kill();
        }

        _disk.NextSyncError = null;
        _disk.NextWriteError = null;
        Forget(power ? Dice.Next(100_000, 3_000_000) : 0);
    }

    /// <summary>The process ends in good order, a moment later.</summary>
    public void Stop()
    {
        if (_stopping)
        {
            return;
        }

        _stopping = true;
        PausedUntilUs = 0;
        Loops!.Dispose();
        foreach (ShardLoop loop in Loops.Loops)
        {
            loop.Post(on => on.StopReplicas());
        }

        int incarnation = Incarnation;
        World.Timeline.After(StopUs, () =>
        {
            if (IsUp && incarnation == Incarnation)
            {
                _storage!.Dispose();
                Forget(0);
            }
        });
    }

    public void Pause(long us) => PausedUntilUs = Math.Max(PausedUntilUs, World.Timeline.NowUs + us);

    public void StallDisk(long us)
    {
        if (_disks is { } disks)
        {
            disks.StalledUntilUs = Math.Max(disks.StalledUntilUs, World.Timeline.NowUs + us);
        }
    }

    /// <summary>From now on every piece of the disk's work takes this much longer.</summary>
    public void SlowDisk(int us)
    {
        if (_disks is { } disks)
        {
            disks.SlownessUs = us;
        }
    }

    public void FailSync() => _disk.NextSyncError = new IOException("The simulated disk gave up.");

    public void FailWrite() => _disk.NextWriteError = new IOException("The simulated disk took no write.");

    /// <summary>What passes of itself has passed.</summary>
    public void Recover()
    {
        PausedUntilUs = 0;
        StepDelayUs = 0;
        TickFactor = 1;
        WallSkewMs = 0;
        _disk.NextSyncError = null;
        _disk.NextWriteError = null;
        if (_disks is { } disks)
        {
            disks.StalledUntilUs = 0;
            disks.SlownessUs = 0;
        }
    }

    /// <summary>A peer wants to open a stream.</summary>
    public bool Accept(ClusterNode from, bool isBulk, ulong connection)
    {
        if (IsUp && !IsPaused)
        {
            _links!.Accept(from.Index, isBulk, connection);
            return true;
        }

        return false;
    }

    public bool IsAccepted(ClusterNode from, bool isBulk, ulong connection) => IsUp && !IsPaused && _links!.IsAccepted(from.Index, isBulk, connection);

    /// <summary>A frame has arrived, whole or not.</summary>
    public void Receive(PeerStream stream, ClusterNode from, ulong connection, byte[] bytes)
    {
        if (!IsUp || !_links!.IsAccepted(from.Index, stream.IsBulk, connection))
        {
            return;
        }

        NodeLinks links = _links;
        byte[] arrived = DamagedFrames.Pass(World, this, bytes);
        Loops!.OnFrame(new InboundFrame(from.Id, arrived, reason =>
        {
            if (ReferenceEquals(arrived, bytes))
            {
                World.Fail($"{Id} can't read a whole frame of {from.Id}: {reason}");
            }

            links.Forget(from.Index, stream.IsBulk, connection);
            World.Send(this, from, () => stream.Break(connection, "malformed"));
            if (!stream.IsBulk && IsUp && ReferenceEquals(links, _links))
            {
                OnPeerLost(from);
            }
        }));
    }

    public void OnPeerLost(ClusterNode peer) => Loops?.OnPeerLost(peer.Id);

    public ServerConnection Connect(Action<byte[]> toClient, Action onBroken)
    {
        var connection = new ServerConnection(this, toClient, onBroken);
        _clients.Add(connection);
        return connection;
    }

    public void Disconnect(ServerConnection connection) => _clients.Remove(connection);

    /// <summary>Operations of clients that are not answered yet.</summary>
    public int Unanswered => _clients.Sum(client => client.Unanswered);

    /// <summary>After each step of a loop: sends what the step left, and looks at what must hold always.</summary>
    public void AfterStep()
    {
        if (!IsUp)
        {
            return;
        }

        _links!.Pump();
        foreach (ShardReplica replica in Replicas)
        {
            if (replica.FencedBecause is { } reason && !_storageFailed && !_stopping)
            {
                World.Fail($"{Id} fenced {replica.Descriptor.Shard}: {reason}");
            }

            if (replica.IsLeader)
            {
                World.NoteLeader(replica.Descriptor.Shard, replica.Term, Id);
            }
        }
    }

    private void OnFailed(Exception? error)
    {
        if (error is not IOException)
        {
            World.Fail($"{Id}: {error}");
        }

        _storageFailed = true;
        World.StorageFailed(this);
    }

    private void Forget(long noticedAfterUs)
    {
        _turns!.IsDead = true;
        _disks!.IsDead = true;
        _links!.End();
        Loops = null;
        Topology = null;
        _storage = null;
        _links = null;
        _stopping = false;
        ServerConnection[] clients = [.. _clients];
        _clients.Clear();
        foreach (ServerConnection client in clients)
        {
            client.Die();
            World.Timeline.After(noticedAfterUs + Dice.Next(50, 2_000), client.OnBroken);
        }
    }

    private void PlanHeartbeat(int incarnation) => World.Timeline.After(HeartbeatUs, () =>
    {
        if (!IsUp || incarnation != Incarnation)
        {
            return;
        }

        foreach (ClusterNode peer in World.Nodes)
        {
            if (peer != this && !IsPaused)
            {
                bool hears = _detector!.Hears(peer.Id, World.Timeline.NowMs);
                World.Send(this, peer, () => peer.HearHeartbeat(Id, incarnation, hears));
                Judge(peer);
            }
        }

        PlanHeartbeat(incarnation);
    });

    private void HearHeartbeat(NodeId from, int incarnation, bool hearsUs)
    {
        if (IsUp && !IsPaused)
        {
            _detector!.OnHeartbeat(from, (ulong)incarnation, hearsUs, World.Timeline.NowMs);
        }
    }

    /// <summary>As the node's heartbeat service tells the loops: a peer counts while it is heard and hears this node; of one that was never heard nothing is said.</summary>
    private void Judge(ClusterNode peer)
    {
        LinkState link = _detector!.LinkTo(peer.Id, World.Timeline.NowMs);
        bool reachable = link.Hearing == Liveness.Unknown || link.Counts;
        ulong boot = _detector.BootOf(peer.Id);
        bool restarted = _boots.GetValueOrDefault(peer.Index) != boot;
        _boots[peer.Index] = boot;
        if ((reachable ? _unreachable.Remove(peer.Index) : _unreachable.Add(peer.Index)) || restarted)
        {
            Loops!.OnReachability(peer.Id, reachable, boot);
        }
    }
}
