using System.Globalization;
using KvStore.Cli.Bench.Load;
using StackExchange.Redis;

namespace KvStore.Benchmarks.Compare;

/// <summary>Redis, alone and without a file, or with an append-only file (synced every second) and replicas of the same kind; and StackExchange.Redis on one multiplexer, as services use it.</summary>
internal sealed class RedisServers : IAsyncDisposable
{
    public const string Program = "redis-server";

    private readonly List<PeerProcess> _processes = [];
    private readonly RedisKey[] _keys = [.. Enumerable.Range(0, Workload.Keys).Select(number => (RedisKey)Workload.Key(number))];
    private readonly RedisValue _value = Workload.Value();
    private ConnectionMultiplexer? _connection;
    private IDatabase? _database;

    public string Version { get; private set; } = "";

    public static Task<RedisServers> StartAloneAsync(string directory, int port, CancellationToken stop) => StartAsync(directory, port, 0, ["--appendonly", "no"], stop);

    public static Task<RedisServers> StartReplicatedAsync(string directory, int firstPort, CancellationToken stop) =>
        StartAsync(directory, firstPort, 2, ["--appendonly", "yes", "--appendfsync", "everysec"], stop);

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

    private static async Task<RedisServers> StartAsync(string directory, int firstPort, int replicas, string[] persistence, CancellationToken stop)
    {
        RedisServers servers = new();
        try
        {
            for (int server = 0; server <= replicas; server++)
            {
                string port = (firstPort + server).ToString(CultureInfo.InvariantCulture);
                string[] follows = server == 0 ? [] : ["--replicaof", "127.0.0.1", firstPort.ToString(CultureInfo.InvariantCulture)];
                servers._processes.Add(PeerProcess.Start(Path.Combine(directory, $"redis-{port}"), Program, ["--port", port, "--bind", "127.0.0.1", "--save", "", .. persistence, .. follows]));
            }

            await PeerProcess.UntilAsync("redis", () => servers.ConnectAsync(firstPort), stop);
            await PeerProcess.UntilAsync("the replicas of redis", () => servers.HasReplicasAsync(replicas), stop);
            return servers;
        }
        catch
        {
            await servers.DisposeAsync();
            throw;
        }
    }

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
