using System.Globalization;
using KvStore.Cli.Bench.Load;
using StackExchange.Redis;

namespace KvStore.Benchmarks.Compare;

/// <summary>Redis, alone and without a file, or with an append-only file (synced every second) and replicas of the same kind; and StackExchange.Redis on one multiplexer, as services use it.</summary>
internal sealed class RedisServers : IAsyncDisposable
{
    public const string Program = "redis-server";

    /// <summary>Speaks the protocol of Redis; a tool of .NET.</summary>
    public const string Garnet = "garnet-server";

    private readonly List<PeerProcess> _processes = [];
    private readonly RedisKey[] _keys = [.. Enumerable.Range(0, Workload.Keys).Select(number => (RedisKey)Workload.Key(number))];
    private readonly RedisValue _value = Workload.Value();
    private ConnectionMultiplexer? _connection;
    private IDatabase? _database;

    public string Version { get; private set; } = "";

    public static Task<RedisServers> StartAloneAsync(string directory, int port, CancellationToken stop) => StartAsync(directory, port, 0, ["--appendonly", "no"], stop);

    public static Task<RedisServers> StartReplicatedAsync(string directory, int firstPort, CancellationToken stop) =>
        StartAsync(directory, firstPort, 2, ["--appendonly", "yes", "--appendfsync", "everysec"], stop);

    /// <summary>Garnet alone, in memory, with room for the keys and not for the gigabytes that it would reserve.</summary>
    public static Task<RedisServers> StartGarnetAsync(string directory, int port, CancellationToken stop) =>
        StartAsync(servers => servers.Add(PeerProcess.Start(Path.Combine(directory, "garnet"), PeerProcess.PathOf(Garnet)!, "--port", Text(port), "--bind", "127.0.0.1", "--memory", "1g", "--index", "64m")), port, 0, stop);

    public async ValueTask<LoadOutcome> PutAsync(int worker, ulong random)
    {
        try
        {
            return await _database!.StringSetAsync(_keys[random % Workload.Keys], _value) ? LoadOutcome.Done : LoadOutcome.Failed("not set");
        }
        catch (RedisException exception)
        {
            return LoadOutcome.Unknown(exception.GetType().Name);
        }
    }

    public async ValueTask<LoadOutcome> GetAsync(int worker, ulong random)
    {
        try
        {
            return (await _database!.StringGetAsync(_keys[random % Workload.Keys])).IsNull ? LoadOutcome.Failed("not found") : LoadOutcome.Done;
        }
        catch (RedisException exception)
        {
            return LoadOutcome.Failed(exception.GetType().Name);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_connection is not null)
        {
            await _connection.DisposeAsync();
        }

        foreach (PeerProcess process in _processes)
        {
            await process.DisposeAsync();
        }
    }

    private static Task<RedisServers> StartAsync(string directory, int firstPort, int replicas, string[] persistence, CancellationToken stop)
    {
        void StartAll(List<PeerProcess> processes)
        {
            for (int server = 0; server <= replicas; server++)
            {
                string port = Text(firstPort + server);
                string[] follows = server == 0 ? [] : ["--replicaof", "127.0.0.1", Text(firstPort)];
                processes.Add(PeerProcess.Start(Path.Combine(directory, $"redis-{port}"), PeerProcess.PathOf(Program)!, ["--port", port, "--bind", "127.0.0.1", "--save", "", .. persistence, .. follows]));
            }
        }

        return StartAsync(StartAll, firstPort, replicas, stop);
    }

    private static async Task<RedisServers> StartAsync(Action<List<PeerProcess>> start, int port, int replicas, CancellationToken stop)
    {
        RedisServers servers = new();
        try
        {
            start(servers._processes);
            await PeerProcess.UntilAsync("a server that speaks the protocol of Redis", () => servers.ConnectAsync(port), stop);
            await PeerProcess.UntilAsync("its replicas", () => servers.HasReplicasAsync(replicas), stop);
            return servers;
        }
        catch
        {
            await servers.DisposeAsync();
            throw;
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private async Task<bool> ConnectAsync(int port)
    {
        try
        {
            ConfigurationOptions options = new() { AbortOnConnectFail = true, AllowAdmin = true, ConnectTimeout = 1_000, AsyncTimeout = 30_000 };
            options.EndPoints.Add("127.0.0.1", port);
            _connection = await ConnectionMultiplexer.ConnectAsync(options);
            _database = _connection.GetDatabase();
            Version = _connection.GetServer(_connection.GetEndPoints()[0]).Version.ToString();
            return true;
        }
        catch (RedisConnectionException)
        {
            return false;
        }
    }

    private async Task<bool> HasReplicasAsync(int replicas)
    {
        string text = await _connection!.GetServer(_connection.GetEndPoints()[0]).InfoRawAsync("replication") ?? "";
        return text.Split("state=online").Length - 1 == replicas;
    }
}
