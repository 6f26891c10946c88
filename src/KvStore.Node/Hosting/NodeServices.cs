using System.Diagnostics;
using System.Net;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Catalog;
using KvStore.Node.Clients;
using KvStore.Node.Faults;
using KvStore.Node.Loops;
using KvStore.Node.Peers;
using KvStore.Node.Watching;
using KvStore.Storage;
using Reachability = KvStore.Contracts.V1.Reachability;

namespace KvStore.Node.Hosting;

/// <summary>
/// THE COMPOSITION POINT: every part of a node that isn't Kestrel is made, wired, started and stopped here, by hand, in this order:
/// <code>
///   OpenAsync    before the port is open. Storage (recovery, the incarnation), then loops, catalog and clients, then mesh and heartbeats. Nothing runs yet.
///                What fails with a NodeFailureException ends the process with its sentence and exit code.
///   Register,    what gRPC services take in their constructors, and their routes.
///   Map
///   StartAsync   the port is open, the address is known: loops, mesh, heartbeats run; then the node may call itself ready.
///   StopAsync    graceful, while the port is still open: not ready, refuse new work, seal and flush, then heartbeats and mesh.
///   Kill         as if the process had died: no flush, no farewell. Must return at once.
/// </code>
/// </summary>
public sealed class NodeServices
{
    private readonly NodeOptions _options;
    private readonly NodeLifetime _lifetime;
    private readonly NodeStorage _storage;
    private readonly LoopSet _loops;
    private readonly NodePulse _pulse;
    private readonly WatchHub _watches;
    private readonly TopologyFeed _topology;
    private readonly CatalogFollower _catalog;
    private readonly PlacementKeeper _placement;
    private readonly RegimeKeeper _regimes;
    private readonly PeerMetrics _peerMetrics;
    private readonly KeyspaceAdmin _keyspaces;
    private readonly FirstCatalogRead _firstRead;
    private readonly OperationExecutor _executor;
    private readonly MemberRoster _roster;
    private readonly MemberInquiry _inquiry;
    private readonly MemberKeeper _members;
    private readonly ILogger _log;
    private int _removed;
    private volatile bool _started;
    private ulong _connectedRevision;

    private NodeServices(NodeOptions options, NodeLifetime lifetime, ILoggerFactory loggers, NodeStorage storage, KnownDirectories known, MemberRoster roster, MemberInquiry inquiry)
    {
        _options = options;
        _roster = roster;
        _inquiry = inquiry;
        _log = loggers.CreateLogger<NodeServices>();
        _lifetime = lifetime;
        _storage = storage;
        var self = new NodeId(options.NodeId);
        Identity = new PeerIdentity(options.ClusterId, self, storage.Incarnation)
        {
            Directory = storage.DirectoryId,
            Generation = options.Generation,
            DurableBatch = () => storage.DurableBatch,
            Known = known,
            WasRemoved = roster.WasRemoved,
            Doubt = inquiry.Doubt,
        };
        Faults = new LinkFaults(options.FaultSeed);
        PeerMeshOptions connection = new();
        Mesh = new PeerMesh(Identity, OnFrame, Faults, connection, options.Time, loggers.CreateLogger<PeerMesh>());
        Heartbeats = new HeartbeatService(
            Identity,
            IsAlive,
            Faults,
            HeartbeatOptionsFor(options),
            connection,
            options.Time,
            loggers.CreateLogger<HeartbeatService>());

        var router = new ShardRouter(self);
        _topology = new TopologyFeed(self, router);
        _loops = new LoopSet(self, options.ShardLoops, storage, Mesh.CreateOutbox, router, ReplicaOptionsFor(options), LoopScheduler.ThreadPoolWith(options.Time), loggers.CreateLogger<LoopSet>());
        _pulse = new NodePulse(_loops, storage);
        _executor = new OperationExecutor(_loops);
        _watches = new WatchHub(_loops, _executor, options.Time, options.MaxWatches, options.WatchWindowBytes, loggers.CreateLogger<WatchHub>());
        _loops.Watches = _watches;
        ClusterCatalog initial = roster.Initial;
        _catalog = new CatalogFollower(initial, options.Generation, _loops, _topology, OnCatalog, Random.Shared.Next, loggers.CreateLogger<CatalogFollower>());
        _placement = new PlacementKeeper(_loops);
        _regimes = new RegimeKeeper(_loops);
        _keyspaces = new KeyspaceAdmin(_executor, _topology, new CatalogSpread(self, router, _topology, () => Heartbeats.View), initial, loggers.CreateLogger<KeyspaceAdmin>());

        _members = new MemberKeeper(_loops, _keyspaces, loggers.CreateLogger<MemberKeeper>());
        _firstRead = new FirstCatalogRead(_keyspaces, _topology, loggers.CreateLogger<FirstCatalogRead>());
        _peerMetrics = new PeerMetrics(self, Heartbeats);
        Heartbeats.PeerHeard += Mesh.ReconnectNow;
        Heartbeats.Changed += OnLiveness;
        _loops.RoundTripMs = node => Heartbeats.View.Find(node)?.RoundTripMs ?? 0;
        Heartbeats.Judged += new ClockWatch(_loops, loggers.CreateLogger<ClockWatch>()).OnJudged;
        Mesh.PeerDisconnected += _loops.OnPeerLost;
        var recoveries = new RecoveryJournal(storage, options.Time);
        _loops.RecoveredEarlier = recoveries.Shards;
        _loops.QuorumForced += recoveries.Note;
        _loops.Ticked += LookAtOwnPlace;
        _roster.Changed += OnMembers;
        _loops.LeaderChanged += _topology.SetLeader;
        _loops.RegimeChanged += _topology.SetRegime;
        _loops.Closed += _topology.Forget;
        _loops.Failed += error => lifetime.Fail(error ?? new IOException("Storage has failed."));
    }

    public PeerIdentity Identity { get; }

    public LinkFaults Faults { get; }

    public PeerMesh Mesh { get; }

    public HeartbeatService Heartbeats { get; }

    /// <summary>Where others reach this node, as the cluster knows it; null: it is not said.</summary>
    public string? KnownAddress => _roster.Known.Members.FirstOrDefault(member => member.Node == Identity.Node)?.Address;

    public static async Task<NodeServices> OpenAsync(NodeOptions options, NodeLifetime lifetime, ILoggerFactory loggers, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        NodeStorage storage = DataDirectory.Open(options, out KnownDirectories known);
        try
        {
            ILogger log = loggers.CreateLogger<MemberRoster>();
            MemberRoster roster = await DataDirectory.MembersAsync(options, storage, log, cancellation);
            var inquiry = new MemberInquiry(options.ClusterId, new NodeId(options.NodeId), roster, log);
            if (storage.Incarnation > 1)
            {
                await inquiry.AskAtStartAsync(cancellation);
            }

            return roster.WasRemoved(new NodeId(options.NodeId))
                ? throw RemovedFailure(options.NodeId)
                : new NodeServices(options, lifetime, loggers, storage, known, roster, inquiry);
        }
        catch
        {
            storage.Abandon();
            throw;
        }
    }

    public void Register(IServiceCollection services)
    {
        services.AddSingleton(Faults);
        services.AddSingleton(new FaultInjectionSwitch(Identity.Node, _options.EnableFaultInjection));
        services.AddSingleton(Mesh);
        services.AddSingleton(Heartbeats);
        services.AddSingleton(_storage);
        services.AddSingleton(_loops);
        services.AddSingleton(_topology);
        services.AddSingleton(_executor);
        services.AddSingleton(_watches);
        services.AddSingleton<KeyspaceScan>();
        services.AddSingleton(_keyspaces);
        services.AddSingleton(_roster);
        services.AddSingleton<ReplicaReport>();
        services.AddSingleton<MemberAdmin>();
        services.AddSingleton<LostWriteReader>();
        services.AddSingleton<KeyspaceAlteration>();
        services.AddSingleton<KeyspaceDeletion>();
        services.AddSingleton<AlterProgressReader>();
        services.AddSingleton<LeaderTransfer>();
        string version = typeof(NodeServices).Assembly.GetName().Version?.ToString(3) ?? "";
        services.AddSingleton(new NodeFacts(_options.ClusterId, version, _options.EnableFaultInjection, Stopwatch.GetTimestamp()));
    }

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGrpcService<PeerService>();
        routes.MapGrpcService<FaultService>();
        routes.MapGrpcService<PipelineService>();
        routes.MapGrpcService<KvService>();
        routes.MapGrpcService<AdminService>();
    }

    /// <param name="address">Where this node is reached, as others should know it.</param>
    /// <param name="datagrams">Where heartbeats are taken as datagrams, if possible.</param>
    public async Task StartAsync(string address, IPEndPoint datagrams, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        Connect(_roster.Known);
        _catalog.Start();
        _loops.Start();
        _placement.Start();
        _regimes.Start();
        _members.Start();
        _watches.Start();
        Mesh.Start();
        Heartbeats.UseDatagrams(datagrams);
        Heartbeats.Start();
        _firstRead.Start();

        // Ready when the system shard has been read back, and what has happened since is known as well, if anybody can tell: from then on the node knows what it has.
        await _loops.WhenSystemActiveAsync(cancellation);
        if (_storage.RecoveredShards.Any(shard => shard.Keyspace > 0))
        {
            await _firstRead.WaitAsync(MajorityIsUp, cancellation);
        }

        await _loops.WhenMemoryCopiedAsync(cancellation);
        _started = true;
        _lifetime.SetReady(Volatile.Read(ref _removed) == 0);
    }

    private bool MajorityIsUp()
    {
        PeerView view = Heartbeats.View;
        IReadOnlyList<CatalogMember> members = _loops.Router.Catalog.Members;
        return members.Count(member => member.Node == Identity.Node || view.Of(member.Node) == Reachability.Up) > members.Count / 2;
    }

    /// <summary>The members changed, or their addresses are only known now (in-process clusters on free ports).</summary>
    public void UpdateMembers(IReadOnlyList<PeerAddress> members)
    {
        Mesh.UpdateMembers(members);
        Heartbeats.UpdateMembers(members);
    }

    public async Task StopAsync(CancellationToken cancellation)
    {
        _lifetime.SetReady(false);
        _firstRead.Dispose();
        _watches.EndAll();
        _watches.Dispose();
        _members.Dispose();
        _placement.Dispose();
        _regimes.Dispose();
        await _loops.StopAsync().WaitAsync(cancellation);
        await Task.WhenAll(Heartbeats.StopAsync(), Mesh.StopAsync()).WaitAsync(cancellation);
        _peerMetrics.Dispose();
        _loops.Dispose();
        _storage.Dispose();
    }

    public void Kill()
    {
        _firstRead.Dispose();
        _watches.Dispose();
        _members.Dispose();
        _placement.Dispose();
        _regimes.Dispose();
        _peerMetrics.Dispose();
        Heartbeats.Abort();
        Mesh.Abort();
        _loops.Halt();
        _storage.Abandon();
    }

    private static NodeFailureException RemovedFailure(uint node) =>
        new(ExitCodes.Removed, $"Node {node} was removed from the cluster: it must not be started again, and its id is never used again. Delete its data directory.");

    private static HeartbeatOptions HeartbeatOptionsFor(NodeOptions options) => new()
    {
        Interval = options.HeartbeatInterval,
        AcceptablePause = options.HeartbeatPause,
        SuspectPhi = options.SuspectPhi,
        DownPhi = options.DownPhi,
        MaxHoldDown = options.MaxHoldDown,
    };

    /// <summary>A tick is half a heartbeat of the groups, so that timeouts are drawn finely enough.</summary>
    private static ReplicaOptions ReplicaOptionsFor(NodeOptions options)
    {
        int heartbeatMs = Math.Max(10, (int)options.HeartbeatInterval.TotalMilliseconds);
        int tickMs = Math.Max(5, heartbeatMs / 2);
        return new ReplicaOptions
        {
            TickMs = tickMs,
            MaxClockDriftMs = (int)options.MaxClockDrift.TotalMilliseconds,
            SealTicks = Math.Max(1, 500 / tickMs),
            AdvertiseTicks = Math.Max(1, 250 / tickMs),
            PullTicks = Math.Max(1, 2_000 / tickMs),
            GivenUp = [.. options.RecoverWithout],
            SnapshotPageTicks = Math.Max(1, 5_000 / tickMs),
            HandInTicks = Math.Max(1, 1_000 / tickMs),
            OverlayBytes = (int)options.OverlayBytes,
            NotesChanges = options.WatchWindowBytes > 0,
            OverlayAgeMs = (long)options.OverlayMaxAge.TotalMilliseconds,
            Raft = new RaftOptions
            {
                HeartbeatTicks = 2,
                TellCommitWithHeartbeats = true,
                QuiesceAfterTicks = Math.Max(1, 1_000 / tickMs),
                QuietRenewTicks = Math.Max(1, 2_000 / tickMs),
                QuietLimitTicks = (3 * Math.Max(1, 2_000 / tickMs)) + 1,
                ElectionTicksMin = Math.Max(4, (int)options.ElectionTimeoutMin.TotalMilliseconds / tickMs),
                ElectionTicksMax = Math.Max(5, (int)options.ElectionTimeoutMax.TotalMilliseconds / tickMs),
            },
        };
    }

    /// <summary>On a loop. Whoever was replaced is sent away.</summary>
    private void OnCatalog(ClusterCatalog catalog)
    {
        foreach (CatalogMember member in catalog.Members)
        {
            if (Identity.Known.SetGeneration(member.Node, member.Generation))
            {
                Mesh.DropInbound(member.Node);
            }
        }

        _roster.Learn(MemberRoster.Of(catalog));
        _regimes.Look();
    }

    /// <summary>On any thread.</summary>
    private void OnMembers(KnownMembers members)
    {
        if (members.Removed.Contains(Identity.Node))
        {
            _ = Task.Run(Retire);
        }
        else
        {
            _ = Task.Run(() => Connect(_roster.Known));
        }
    }

    /// <summary>Where the flags say how a member is reached, they count: a node may see the others under addresses of its own.</summary>
    private void Connect(KnownMembers members)
    {
        lock (_roster)
        {
            if (Volatile.Read(ref _removed) == 0 && members.Revision >= _connectedRevision)
            {
                _connectedRevision = members.Revision;
                UpdateMembers([.. members.Members.Select(member =>
                {
                    PeerAddress said = _options.Members.FirstOrDefault(each => each.Node == member.Node);
                    return said.Node.IsNone ? new PeerAddress(member.Node, member.Address) : said;
                })]);
            }
        }
    }

    /// <summary>This node is no member any more: it must neither serve what it has nor vote, whoever still asks it.</summary>
    private void Retire()
    {
        if (Interlocked.Exchange(ref _removed, 1) != 0)
        {
            return;
        }

        CatalogLog.Removed(_log);
        if (_started)
        {
            _lifetime.SetReady(false);
        }

        foreach (ShardLoop loop in _loops.Loops)
        {
            loop.Retire("this node was removed from the cluster");
        }

        try
        {
            _topology.End();
            _watches.EndAll();
            lock (_roster)
            {
                UpdateMembers([]);
            }
        }
        finally
        {
            // Whatever goes wrong in parting: the node ends, and says why.
            _lifetime.Fail(RemovedFailure(Identity.Node.Value));
        }
    }

    /// <summary>
    /// On the system shard's loop. A member that leaves loses its place there last, and hears nothing of the catalog any more: it must not call keyspaces unknown that were created since, and asks the others whether it is gone.
    /// </summary>
    private void LookAtOwnPlace(ShardLoop loop)
    {
        if (loop.Find(Core.Identity.ShardId.System) is { IsRemoved: true } && Volatile.Read(ref _removed) == 0)
        {
            _topology.End();
            _inquiry.Doubt();
        }
    }

    /// <summary>A frame of a peer, on the task of its stream: goes into the inboxes of the loops.</summary>
    private void OnFrame(InboundFrame frame) => _loops.OnFrame(frame);

    /// <summary>A peer counts as reachable while it is heard and hears this node: a link that works one way serves nobody.</summary>
    private void OnLiveness(PeerView view)
    {
        foreach (PeerLiveness peer in view.Peers)
        {
            _loops.OnReachability(peer.Node, peer.Link.Counts, peer.Boot);
        }
    }

    /// <summary>Whether the loops make progress and the disk answers; asked by the heartbeat thread each round.</summary>
    private bool IsAlive() => _pulse.IsAlive();
}
