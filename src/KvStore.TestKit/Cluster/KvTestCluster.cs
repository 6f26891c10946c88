using KvStore.Client;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;
using KvStore.Node.Faults;
using KvStore.Node.Hosting;
using KvStore.Node.Peers;
using KvStore.TestKit.Histories;

namespace KvStore.TestKit;

/// <summary>
/// A real cluster in one process: real nodes, sockets, write-ahead logs and RocksDB, whose links a test can cut and whose nodes it can kill. For tests of what an application does when the network breaks.
/// </summary>
/// <example><code>
/// await using var cluster = await KvTestCluster.StartAsync(nodes: 3);
/// await cluster.CreateKeyspaceAsync("orders", PartitionPolicy.Cp, Replication.Sync);
/// await cluster.IsolateAsync(1);
/// await cluster.Client.Keyspace("orders").PutAsync("k", "v");      // the majority goes on
/// await cluster.HealAsync();
/// </code></example>
/// <remarks>Nodes in one process share its memory, threads and pauses: tests of kill -9 and SIGSTOP need processes of their own (<c>kv up</c>).</remarks>
public sealed class KvTestCluster : IAsyncDisposable
{
    private readonly KvTestClusterOptions _options;
    private readonly SortedDictionary<uint, KvTestNode> _nodes = [];
    private readonly List<ClientPlace> _places = [];
    private readonly string? _ownDirectory;
    private readonly string? _root;
    private uint _highest;

    private KvTestCluster(KvTestClusterOptions options, string? ownDirectory)
    {
        _root = options.Directory ?? ownDirectory;
        _options = options;
        _ownDirectory = ownDirectory;
    }

    /// <summary>A client that knows all nodes, as an application would have it.</summary>
    public IKvClient Client { get; private set; } = null!;

    /// <summary>The nodes in the order of their ids, which count up from 1; killed ones too, removed ones not.</summary>
    public IReadOnlyCollection<KvTestNode> Nodes => _nodes.Values;

    /// <summary>Addresses for clients, "http://host:port".</summary>
    public IEnumerable<string> Endpoints => _nodes.Values.Select(node => $"http://{node.Address}");

    /// <summary>Starts a cluster and waits until it has elected a leader for its system shard.</summary>
    /// <param name="nodes">How many, 1 to 9.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    public static Task<KvTestCluster> StartAsync(int nodes = 3, CancellationToken cancellationToken = default) =>
        StartAsync(new KvTestClusterOptions { Nodes = nodes }, cancellationToken);

    /// <summary>Starts a cluster and waits until all nodes hear one another and know the leader of the system shard.</summary>
    /// <exception cref="TimeoutException">No leader within <see cref="KvTestClusterOptions.Deadline"/>.</exception>
    public static async Task<KvTestCluster> StartAsync(KvTestClusterOptions options, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Nodes, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Nodes, 9);
        string? own = options.Directory is null && !options.InMemory ? Directory.CreateTempSubdirectory("kvstore-").FullName : null;
        var cluster = new KvTestCluster(options, own);
        try
        {
            int[] ports = FreePorts.Take(options.Nodes);
            PeerAddress[] members = [.. ports.Select((port, index) => new PeerAddress(new NodeId((uint)index + 1), $"127.0.0.1:{port}"))];
            foreach (PeerAddress member in members)
            {
                cluster._nodes.Add(member.Node.Value, new KvTestNode(member, NodeOptionsFor(options, member, members, cluster._root)));
            }

            await Task.WhenAll(cluster._nodes.Values.Select(node => node.StartAsync(cancellationToken)));
            var client = new KvClientOptions { DefaultTimeout = options.Deadline };
            foreach (string endpoint in cluster.Endpoints)
            {
                client.Endpoints.Add(endpoint);
            }

            cluster.Client = KvClient.Create(client);
            await cluster.WaitUntilWholeAsync(cancellationToken);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>The node with this id.</summary>
    public KvTestNode Node(uint id) => _nodes.TryGetValue(id, out KvTestNode? node)
        ? node
        : throw new ArgumentOutOfRangeException(nameof(id), id, $"The cluster has the nodes {string.Join(", ", _nodes.Keys)}.");

    /// <summary>Talks to this node and no other, as somebody on its side of a broken network has to.</summary>
    public KvNodeClient ClientOf(uint id) => Node(id).Client;

    /// <summary>
    /// Puts a client beside a node, on its side of whatever is cut: it reaches what the node reaches. Other clients reach every node, however broken the network between the nodes is. A cut ends connections at once, and new
    /// ones are refused; so the client notices sooner than behind a network that swallows packets.
    /// </summary>
    /// <param name="options">The options of the client to be made, which get the node as endpoint.</param>
    /// <param name="node">The node that it is beside.</param>
    /// <example><code>builder.Services.AddKvStore(options => cluster.PlaceBeside(1, options));</code></example>
    public void PlaceBeside(uint node, KvClientOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Endpoints.Add($"http://{Node(node).Address}");
        var place = new ClientPlace(peer => !IsCut(node, peer), port => _nodes.Values.FirstOrDefault(known => known.Address.EndsWith($":{port}", StringComparison.Ordinal))?.Id ?? node);
        options.Dialled = place.Admit;
        lock (_places)
        {
            _places.Add(place);
        }
    }

    /// <summary>Creates a keyspace and waits until every running node serves its replicas and, for cp, every shard has a leader.</summary>
    public async Task CreateKeyspaceAsync(string name, PartitionPolicy policy, Replication replication, int shards = 4, CancellationToken cancellationToken = default)
    {
        Keyspace created = await Client.Admin.CreateKeyspaceAsync(new KvKeyspaceSettings { Name = name, Policy = policy, Replication = replication, Shards = shards }, cancellationToken);
        await WaitUntilAsync(
            $"every shard of '{name}' has a leader and every node serves its replicas",
            async () =>
            {
                IReadOnlyList<ReplicaStatus> replicas = await ReplicasAsync(name, cancellationToken);
                int expected = created.Shards.Sum(shard => shard.Replicas.Count(replica => Node(replica.Node).IsRunning));
                return replicas.Count == expected && replicas.All(replica => replica.Leader != 0 && replica.Fenced.Length == 0);
            },
            cancellationToken);
    }

    /// <summary>Cuts all links between different groups, both ways. Nodes that are named in no group form one of their own. Replaces earlier cuts.</summary>
    public Task PartitionAsync(params IReadOnlyCollection<uint>[] groups)
    {
        uint[] rest = [.. _nodes.Keys.Where(id => !groups.Any(group => group.Contains(id)))];
        IReadOnlyCollection<uint>[] sides = rest.Length > 0 ? [.. groups, rest] : groups;
        foreach (IReadOnlyCollection<uint> side in sides)
        {
            foreach (uint id in side)
            {
                Disturb(id, PeersOf(id).Where(peer => !side.Contains(peer)).Select(peer => KeyValuePair.Create(new NodeId(peer), PeerFault.Cut)));
            }
        }

        CutClients();
        return Task.CompletedTask;
    }

    /// <summary>Cuts one node off from all others. Clients still reach it.</summary>
    public Task IsolateAsync(uint id) => PartitionAsync([id], [.. PeersOf(id)]);

    /// <summary>Swallows what one node sends to another; the other direction works. Adds to what is cut already.</summary>
    public Task OneWayCutAsync(uint from, uint to)
    {
        Node(from).Running.Services.Faults.Set(new NodeId(to), Node(from).Running.Services.Faults.Of(new NodeId(to)) with { CutOutbound = true });
        CutClients();
        return Task.CompletedTask;
    }

    /// <summary>Sets a node's wall clock wrong (or right again, with zero): ahead of the machine's by so much, negative: behind. Its timers and timeouts stay as they are. A restart keeps it.</summary>
    public void SetClockOffset(uint id, TimeSpan offset) => Node(id).Clock.Offset = offset;

    /// <summary>Removes every fault of every node.</summary>
    public Task HealAsync()
    {
        foreach (KvTestNode node in _nodes.Values.Where(node => node.IsRunning))
        {
            node.Running.Services.Faults.Heal();
        }

        return Task.CompletedTask;
    }

    /// <summary>Ends a node as if its process had died: nothing is flushed or handed over.</summary>
    public Task KillAsync(uint id) => Node(id).KillAsync();

    /// <summary>Stops a node in good order.</summary>
    public Task StopAsync(uint id) => Node(id).StopAsync();

    /// <summary>Starts a killed or stopped node again, on its old address and data.</summary>
    public Task RestartAsync(uint id, CancellationToken cancellationToken = default) => Node(id).StartAsync(cancellationToken);

    /// <summary>
    /// Puts a new node in the place of one that was killed or stopped and whose data is lost: under the same id and address, with an empty data directory. Its shards take it in by themselves; wait for
    /// <see cref="WaitUntilCaughtUpAsync"/> or <see cref="WaitUntilConvergedAsync"/>.
    /// </summary>
    public async Task ReplaceAsync(uint id, CancellationToken cancellationToken = default)
    {
        await WaitUntilAsync($"no node hears node {id} any more", async () =>
        {
            foreach (KvTestNode node in _nodes.Values.Where(node => node.IsRunning))
            {
                if ((await StatusAsync(node.Id, cancellationToken: cancellationToken)).Peers.Any(peer => peer.Node == id && peer.Reachability == Reachability.Up))
                {
                    return false;
                }
            }

            return true;
        }, cancellationToken);
        ReplaceNodeResponse next = await Client.Admin.ReplaceNodeAsync(id, cancellationToken);
        await Node(id).StartAnewAsync(next.Generation, cancellationToken);
    }

    /// <summary>
    /// Adds a node to the running cluster, under the next free id, and starts it. It gets its share of the shards by itself: <see cref="WaitUntilSettledAsync"/> waits for that. With <paramref name="start"/> false it is only announced;
    /// <see cref="RestartAsync"/> starts it.
    /// </summary>
    public async Task<KvTestNode> AddNodeAsync(bool start = true, CancellationToken cancellationToken = default)
    {
        _highest = Math.Max(_highest, _nodes.Keys.Max()) + 1;
        var address = new PeerAddress(new NodeId(_highest), $"127.0.0.1:{FreePorts.Take(1)[0]}");
        NodeOptions options = NodeOptionsFor(_options, address, [], _root) with { Join = [.. _nodes.Values.Where(known => known.IsRunning).Select(known => known.Address)] };
        await Client.Admin.AddMemberAsync(_highest, address.Address, cancellationToken: cancellationToken);
        var node = new KvTestNode(address, options);
        await WaitUntilAsync($"the client knows node {node.Id}", async () => (await Client.Admin.GetTopologyAsync(cancellationToken)).Members.Any(member => member.Node == node.Id), cancellationToken);
        _nodes.Add(node.Id, node);
        if (start)
        {
            await node.StartAsync(cancellationToken);
        }

        return node;
    }

    /// <summary>Lets a member go, waits until it is none any more, and stops it.</summary>
    /// <param name="id">The member, running or not.</param>
    /// <param name="force">Also if keyspaces are left with fewer replicas.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    public async Task RemoveNodeAsync(uint id, bool force = false, CancellationToken cancellationToken = default)
    {
        KvTestNode node = Node(id);
        _highest = Math.Max(_highest, _nodes.Keys.Max());
        await Client.Admin.RemoveMemberAsync(id, force, cancellationToken);
        await WaitUntilAsync($"node {id} is a member no more", async () => (await Client.Admin.GetTopologyAsync(cancellationToken)).Members.All(member => member.Node != id), cancellationToken);
        _nodes.Remove(id);
        await node.DisposeAsync();
    }

    /// <summary>Waits until no member is on its way in or out: every shard has its replicas where they shall be.</summary>
    public Task WaitUntilSettledAsync(CancellationToken cancellationToken = default) => WaitUntilAsync(
        "no member is on its way in or out",
        async () => (await Client.Admin.GetTopologyAsync(cancellationToken)).Members.All(member => member.State == MemberState.Settled),
        cancellationToken);

    /// <summary>
    /// Starts a stopped or killed node with others given up for good, as an operator does who has lost a majority (<c>--recover-without</c>): its shards go on from what it has. The others must not be started again but by
    /// <see cref="ReplaceAsync"/>.
    /// </summary>
    public Task RecoverAsync(uint id, IEnumerable<uint> lost, CancellationToken cancellationToken = default) => Node(id).StartWithoutAsync(lost, cancellationToken);

    /// <summary>What a node says of itself.</summary>
    public async Task<NodeStatusResponse> StatusAsync(uint id, bool replicas = false, CancellationToken cancellationToken = default) =>
        await Client.Admin.NodeStatusAsync(id, replicas, cancellationToken);

    /// <summary>All replicas of a keyspace on running nodes, as each node describes its own.</summary>
    public async Task<IReadOnlyList<ReplicaStatus>> ReplicasAsync(string keyspace, CancellationToken cancellationToken = default)
    {
        var all = new List<ReplicaStatus>();
        foreach (KvTestNode node in _nodes.Values.Where(node => node.IsRunning))
        {
            NodeStatusResponse status = await StatusAsync(node.Id, replicas: true, cancellationToken);
            all.AddRange(status.Replicas.Where(replica => replica.Keyspace == keyspace));
        }

        return all;
    }

    /// <summary>Waits for a condition by looking again and again, up to <see cref="KvTestClusterOptions.Deadline"/>.</summary>
    /// <exception cref="TimeoutException">It did not come true; the message describes every node.</exception>
    public Task WaitUntilAsync(string condition, Func<Task<bool>> holds, CancellationToken cancellationToken = default) =>
        Waiting.UntilAsync(condition, holds, _options.Deadline, () => ClusterReport.DescribeAsync(this), cancellationToken);

    /// <summary>Waits until all running nodes hear one another and know the leader of the system shard: what a heal or a restart leads to, a moment later.</summary>
    public Task WaitUntilWholeAsync(CancellationToken cancellationToken = default) =>
        WaitUntilAsync("all running nodes hear one another and know the leader of the system shard", IsWholeAsync, cancellationToken);

    /// <summary>Waits until all running replicas of a cp keyspace have applied the same, with no write under way. Returns how long that took.</summary>
    public async Task<TimeSpan> WaitUntilCaughtUpAsync(string keyspace, CancellationToken cancellationToken = default)
    {
        long begin = TimeProvider.System.GetTimestamp();
        await WaitUntilAsync(
            $"the replicas of '{keyspace}' have applied the same",
            async () =>
            {
                IReadOnlyList<ReplicaStatus> replicas = await ReplicasAsync(keyspace, cancellationToken);
                return replicas.Count > 0 && replicas.GroupBy(replica => replica.Shard).All(shard =>
                    shard.All(replica => replica.Leader != 0 && replica.Fenced.Length == 0 && replica.Applied == replica.LastIndex)
                    && shard.Select(replica => replica.Applied).Distinct().Count() == 1);
            },
            cancellationToken);
        return TimeProvider.System.GetElapsedTime(begin);
    }

    /// <summary>The node that leads a shard of a cp keyspace and is known as its leader to all running replicas. Waits until there is one.</summary>
    public async Task<uint> LeaderOfAsync(string keyspace, uint shard = 0, CancellationToken cancellationToken = default)
    {
        uint leader = 0;
        await WaitUntilAsync(
            $"the replicas of shard {shard} of '{keyspace}' agree on a leader",
            async () =>
            {
                uint[] leaders = [.. (await ReplicasAsync(keyspace, cancellationToken)).Where(replica => replica.Shard == shard).Select(replica => replica.Leader).Distinct()];
                leader = leaders is [var agreed] ? agreed : 0;
                return leader != 0;
            },
            cancellationToken);
        return leader;
    }

    /// <summary>Waits until all running replicas of an ap keyspace have equal clocks and equal data. Returns how long that took.</summary>
    public async Task<TimeSpan> WaitUntilConvergedAsync(string keyspace, CancellationToken cancellationToken = default)
    {
        long begin = TimeProvider.System.GetTimestamp();
        await WaitUntilAsync(
            $"the replicas of '{keyspace}' have converged",
            async () =>
            {
                IReadOnlyList<ReplicaStatus> replicas = await ReplicasAsync(keyspace, cancellationToken);
                return replicas.GroupBy(replica => replica.Shard).All(shard => shard.Select(replica => replica.Clock).Distinct().Count() == 1)
                    && ConvergenceChecker.Check(await DumpAsync(keyspace, cancellationToken)).Converged;
            },
            cancellationToken);
        return TimeProvider.System.GetElapsedTime(begin);
    }

    /// <summary>What each running node's own replicas hold, values as text. For keyspaces whose every node has a replica of every shard.</summary>
    public async Task<IReadOnlyList<ReplicaDump>> DumpAsync(string keyspace, CancellationToken cancellationToken = default)
    {
        var dumps = new List<ReplicaDump>();
        foreach (KvTestNode node in _nodes.Values.Where(node => node.IsRunning))
        {
            dumps.Add(await node.Client.DumpAsync(keyspace, cancellationToken));
        }

        return dumps;
    }

    /// <summary>Kills what still runs and deletes the temporary directory.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Client is not null)
        {
            await Client.DisposeAsync();
        }

        foreach (KvTestNode node in _nodes.Values)
        {
            await node.DisposeAsync();
        }

        if (_ownDirectory is not null)
        {
            Directory.Delete(_ownDirectory, recursive: true);
        }
    }

    private static NodeOptions NodeOptionsFor(KvTestClusterOptions options, PeerAddress member, IReadOnlyList<PeerAddress> members, string? root) => new()
    {
        ClusterId = "test-cluster",
        NodeId = member.Node.Value,
        ListenHost = "127.0.0.1",
        Port = int.Parse(member.Address[(member.Address.LastIndexOf(':') + 1)..], System.Globalization.CultureInfo.InvariantCulture),
        HttpHost = options.Http ? "127.0.0.1" : "",
        DataDirectory = root is null ? "" : Path.Combine(root, $"node-{member.Node.Value}"),
        Engine = options.InMemory ? StorageEngine.Memory : StorageEngine.RocksDb,
        Members = members,
        EnableFaultInjection = true,
        HeartbeatInterval = options.HeartbeatInterval,
        ElectionTimeoutMin = options.ElectionTimeoutMin,
        ElectionTimeoutMax = options.ElectionTimeoutMax,
        WatchWindowBytes = options.WatchWindowBytes,
        TableBytes = options.TableBytes,
        SegmentBytes = 4L << 20,
        RetainedLogBytes = 32L << 20,
        LowSpaceBytes = 64L << 20,
        Loggers = new LineLoggerFactory(member.Node.Value, options.Log),
    };

    private async Task<bool> IsWholeAsync()
    {
        uint[] running = [.. _nodes.Values.Where(node => node.IsRunning).Select(node => node.Id)];
        foreach (uint id in running)
        {
            NodeStatusResponse status = await StatusAsync(id);
            if (status.SystemLeader == 0 || status.Peers.Where(peer => running.Contains(peer.Node)).Any(peer => peer.Reachability != Reachability.Up || !peer.HearsUs))
            {
                return false;
            }
        }

        return true;
    }

    private bool IsCut(uint from, uint to)
    {
        if (from == to || !Node(from).IsRunning)
        {
            return false;
        }

        PeerFault fault = Node(from).Running.Services.Faults.Of(new NodeId(to));
        return fault.CutOutbound || fault.CutInbound;
    }

    private void CutClients()
    {
        lock (_places)
        {
            _places.ForEach(place => place.CloseWhatIsCut());
        }
    }

    private IEnumerable<uint> PeersOf(uint id) => _nodes.Keys.Where(peer => peer != id);

    private void Disturb(uint id, IEnumerable<KeyValuePair<NodeId, PeerFault>> cuts)
    {
        if (Node(id).IsRunning)
        {
            LinkFaults faults = Node(id).Running.Services.Faults;
            faults.Heal();
            faults.Set(cuts);
        }
    }
}
