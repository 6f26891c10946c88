using KvStore.Cli.Bench.Load;
using KvStore.Cli.LocalCluster;
using KvStore.Client;
using KvStore.Contracts.V1;

namespace KvStore.Benchmarks.Compare;

/// <summary>
/// The table of docs/performance.md that sets us beside other stores: all of them run on this machine at the same time, each as processes of its own, and one generator drives them in turns. <c>compare --help</c> shows the options.
/// Peers that aren't installed are left out, and the table says so.
/// </summary>
internal sealed class Comparison(CompareOptions options, TextWriter output) : IAsyncDisposable
{
    /// <summary>Before each turn: what the other side has pushed out of the caches comes back.</summary>
    private static readonly TimeSpan TurnWarmUp = TimeSpan.FromMilliseconds(300);

    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("kv-compare-");
    private readonly List<IAsyncDisposable> _servers = [];
    private readonly List<Cell> _cells = [];

    public static async Task<int> RunAsync(string[] arguments, TextWriter output)
    {
        if (CompareOptions.Parse(arguments) is not { } options)
        {
            output.WriteLine(CompareOptions.Usage);
            return 2;
        }

        using CancellationTokenSource stop = new();
        Console.CancelKeyPress += (_, pressed) =>
        {
            pressed.Cancel = true;
            stop.Cancel();
        };
        try
        {
            await using Comparison comparison = new(options, output);
            await comparison.RunAsync(stop.Token);
            return 0;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return 130;
        }
        catch (Exception exception)
        {
            // Caught so that the servers end: nothing is unwound for an exception that nobody catches.
            output.WriteLine(exception);
            return 1;
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IAsyncDisposable server in Enumerable.Reverse(_servers))
        {
            await server.DisposeAsync();
        }

        _directory.Delete(recursive: true);
    }

    private async Task RunAsync(CancellationToken stop)
    {
        await StartAsync(stop);
        foreach (Side side in _cells.SelectMany(cell => (Side[])[cell.Ours, cell.Peer]).DistinctBy(side => side.Name))
        {
            await new LoadGenerator(new LoadPlan { Concurrency = 64, Duration = options.WarmUp }, side.Operation).RunAsync(null, stop);
        }

        MachineLoad before = MachineLoad.Now();
        for (int round = 0; round < options.Rounds; round++)
        {
            foreach (Cell cell in _cells)
            {
                // Who goes first changes with the round, so that a machine that grows busier favours nobody.
                Reading first = await MeasureAsync(round % 2 == 0 ? cell.Ours : cell.Peer, cell.Concurrency, stop);
                Reading second = await MeasureAsync(round % 2 == 0 ? cell.Peer : cell.Ours, cell.Concurrency, stop);
                cell.Add(round % 2 == 0 ? first : second, round % 2 == 0 ? second : first);
            }
        }

        output.WriteLine();
        output.WriteLine($"{options.Rounds} rounds, turns of {options.Turn.TotalSeconds:0.#} s after {options.WarmUp.TotalSeconds:0.#} s of warm-up. {MachineLoad.Now().Since(before)}");
        output.WriteLine();
        output.WriteLine("| operation | KvStore | peer | ratio | of the rounds | goal | met |");
        output.WriteLine("|---|---|---|---|---|---|---|");
        _cells.ForEach(cell => output.WriteLine(cell.Row()));
    }

    private async Task<Reading> MeasureAsync(Side side, int concurrency, CancellationToken stop)
    {
        await new LoadGenerator(new LoadPlan { Concurrency = concurrency, Duration = TurnWarmUp, Seed = 7 }, side.Operation).RunAsync(null, stop);
        LoadReport report = await new LoadGenerator(new LoadPlan { Concurrency = concurrency, Duration = options.Turn }, side.Operation).RunAsync(null, stop);
        stop.ThrowIfCancellationRequested();
        return new Reading(report.PerSecond * side.Weight, report.Percentile(50).TotalMicroseconds, report.FailedCount + report.UnknownCount);
    }

    private async Task StartAsync(CancellationToken stop)
    {
        KvCluster kv = await KvCluster.StartAsync(_directory.FullName, ConsecutivePorts.Find(3), stop);
        _servers.Add(kv);
        bool wantsEtcd = Wants("cp-put") || Wants("cp-get");
        EtcdCluster? etcd = wantsEtcd && Installed(EtcdCluster.Program) ? await EtcdCluster.StartAsync(_directory.FullName, ConsecutivePorts.Find(6), stop) : null;
        Keep(etcd, $"etcd {etcd?.Version}, three members");
        bool wantsReplicas = Wants("cp-put") || Wants("ap-put");
        RedisServers? replicated = wantsReplicas && Installed(RedisServers.Program) ? await RedisServers.StartReplicatedAsync(_directory.FullName, ConsecutivePorts.Find(3), stop) : null;
        Keep(replicated, $"Redis {replicated?.Version} with two replicas, append-only files synced every second");
        bool wantsAlone = Wants("memory-put") || Wants("eventual-get");
        RedisServers? alone = wantsAlone && Installed(RedisServers.Program) ? await RedisServers.StartAloneAsync(_directory.FullName, ConsecutivePorts.Find(1), stop) : null;
        Keep(alone, $"Redis {alone?.Version} alone, in memory");
        NatsCluster? nats = Wants("nats") && Installed(NatsCluster.Program) ? await NatsCluster.StartAsync(_directory.FullName, ConsecutivePorts.Find(6), stop) : null;
        Keep(nats, $"NATS {nats?.Version}, three servers, a key-value bucket of JetStream in files with three replicas, which it syncs every two minutes");
        RedisServers? garnet = Wants("garnet") && Installed(RedisServers.Garnet) ? await RedisServers.StartGarnetAsync(_directory.FullName, ConsecutivePorts.Find(1), stop) : null;
        Keep(garnet, "Garnet alone, in memory");

        KvLoad cp = await kv.LoadAsync(new KvKeyspaceSettings { Name = "cp", Policy = PartitionPolicy.Cp, Replication = Replication.Sync }, KvReadLevel.Linearizable, stop);
        KvLoad ap = await kv.LoadAsync(new KvKeyspaceSettings { Name = "ap", Policy = PartitionPolicy.Ap, Replication = Replication.Async }, KvReadLevel.Eventual, stop);
        KvLoad memory = await kv.LoadAsync(
            new KvKeyspaceSettings { Name = "memory", Policy = PartitionPolicy.Ap, Replication = Replication.BestEffort, Durability = Durability.Memory }, KvReadLevel.Eventual, stop);

        Side cpPut = new("sync cp put", cp.PutAsync);
        Side etcdPut = new("etcd", (worker, random) => etcd!.PutAsync(worker, random));
        Side replicatedPut = new("Redis and replicas", (worker, random) => replicated!.PutAsync(worker, random));
        Add(etcd, "cp-put", 1, cpPut, etcdPut, 0.5, GoalKind.MedianLatencyBelow);
        Add(etcd, "cp-put", 64, cpPut, etcdPut, 10);
        Add(etcd, "cp-put", 256, cpPut, etcdPut, 10);
        Add(replicated, "cp-put", 256, cpPut, replicatedPut, 1);

        await FillAsync(etcd is null || !Wants("cp-get") ? null : etcd.PutAsync, stop);
        Add(etcd, "cp-get", 64, new Side("linearizable get", cp.GetAsync), new Side("etcd (get)", (worker, random) => etcd!.GetAsync(worker, random)), 20);

        Side apPut = new("ap async put", ap.PutAsync);
        Add(replicated, "ap-put", 64, apPut, replicatedPut, 1);
        Add(replicated, "ap-put", 256, apPut, replicatedPut, 1.5);

        Side memoryPut = new("best-effort put, memory", memory.PutAsync);
        Side alonePut = new("Redis alone", (worker, random) => alone!.PutAsync(worker, random));
        Add(alone, "memory-put", 64, memoryPut, alonePut, 1);
        Add(alone, "memory-put", 256, memoryPut, alonePut, 1);

        await FillAsync(alone is null ? null : alone.PutAsync, stop);
        Side aloneGet = new("Redis alone (get)", (worker, random) => alone!.GetAsync(worker, random));
        foreach (int concurrency in (int[])[64, 256])
        {
            Add(alone, "eventual-get", concurrency, new Side("eventual get, memory", memory.GetAsync), aloneGet, 1);
            Add(alone, "eventual-get", concurrency, new Side("eventual get, disk", ap.GetAsync), aloneGet, 1);
        }

        await FillAsync(nats is null ? null : nats.PutAsync, stop);
        Side natsPut = new("NATS", (worker, random) => nats!.PutAsync(worker, random));
        Add(nats, "nats", 64, cpPut, natsPut, goal: null);
        Add(nats, "nats", 256, cpPut, natsPut, goal: null);
        Add(nats, "nats", 64, new Side("eventual get, disk", ap.GetAsync), new Side("NATS (get)", (worker, random) => nats!.GetAsync(worker, random)), goal: null);

        await FillAsync(garnet is null ? null : garnet.PutAsync, stop);
        Side garnetPut = new("Garnet alone", (worker, random) => garnet!.PutAsync(worker, random));
        Side garnetGet = new("Garnet alone (get)", (worker, random) => garnet!.GetAsync(worker, random));
        foreach (int concurrency in (int[])[64, 256])
        {
            Add(garnet, "garnet", concurrency, memoryPut, garnetPut, goal: null);
            Add(garnet, "garnet", concurrency, new Side("eventual get, memory", memory.GetAsync), garnetGet, goal: null);
        }

        Add(kv, "batch", 1, new Side($"sync cp put, one caller, batches of {KvCluster.Batch}", KvCluster.InBatches(cp.PutAsync), KvCluster.Batch), new Side("one by one", cp.PutAsync), 5);
    }

    /// <summary>Writes every key of a peer once, so that its reads find something.</summary>
    private static async Task FillAsync(LoadOperation? put, CancellationToken stop)
    {
        if (put is not null)
        {
            long next = -1;
            await new LoadGenerator(new LoadPlan { Concurrency = 64, Operations = Workload.Keys }, (worker, _) => put(worker, (ulong)Interlocked.Increment(ref next))).RunAsync(null, stop);
        }
    }

    private void Keep(IAsyncDisposable? server, string what)
    {
        if (server is not null)
        {
            _servers.Add(server);
            output.WriteLine($"Peer: {what}.");
        }
    }

    private void Add(object? peer, string group, int concurrency, Side ours, Side theirs, double? goal, GoalKind kind = GoalKind.ThroughputAtLeast)
    {
        if (peer is not null && Wants(group))
        {
            _cells.Add(new Cell(group, concurrency, ours, theirs, kind, goal));
        }
    }

    private bool Wants(string group) => options.Groups.Contains(group);

    private bool Installed(string program)
    {
        bool found = PeerProcess.PathOf(program) is not null;
        if (!found)
        {
            output.WriteLine($"Left out: {program} is not installed.");
        }

        return found;
    }
}
