using System.Globalization;
using KvStore.Cli.Bench.Load;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.KeyValueStore;

namespace KvStore.Benchmarks.Compare;

/// <summary>Three servers of NATS with JetStream, and a key-value bucket in files with three replicas and a history of one; NATS.Net on one connection, as services use it.</summary>
internal sealed class NatsCluster : IAsyncDisposable
{
    public const string Program = "nats-server";

    private const int Servers = 3;

    private readonly List<PeerProcess> _processes = [];
    private readonly string[] _keys = [.. Enumerable.Range(0, Workload.Keys).Select(number => System.Text.Encoding.ASCII.GetString(Workload.Key(number)))];
    private readonly byte[] _value = Workload.Value();
    private NatsConnection? _connection;
    private INatsKVStore? _bucket;

    public string Version { get; private set; } = "";

    public static async Task<NatsCluster> StartAsync(string directory, int firstPort, CancellationToken stop)
    {
        NatsCluster cluster = new();
        try
        {
            string routes = string.Join(", ", Enumerable.Range(0, Servers).Select(server => Text($"nats://127.0.0.1:{firstPort + Servers + server}")));
            for (int server = 0; server < Servers; server++)
            {
                string home = Path.Combine(directory, Text($"nats-{server}"));
                Directory.CreateDirectory(home);
                string configuration = Path.Combine(home, "nats.conf");
                await File.WriteAllTextAsync(
                    configuration,
                    Text($$"""
                    server_name: n{{server}}
                    listen: "127.0.0.1:{{firstPort + server}}"
                    jetstream { store_dir: "{{Path.Combine(home, "data")}}" }
                    cluster { name: bench, listen: "127.0.0.1:{{firstPort + Servers + server}}", routes: [{{routes}}] }
                    """),
                    stop);
                cluster._processes.Add(PeerProcess.Start(home, PeerProcess.PathOf(Program)!, "-c", configuration));
            }

            await PeerProcess.UntilAsync("the bucket of NATS", () => cluster.ConnectAsync(firstPort, stop), stop);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Acknowledged when a majority has it. NATS syncs its files every two minutes unless told otherwise, so this is no durable put.</summary>
    public async ValueTask<LoadOutcome> PutAsync(int worker, ulong random)
    {
        try
        {
            await _bucket!.PutAsync(_keys[random % Workload.Keys], _value);
            return LoadOutcome.Done;
        }
        catch (NatsException exception)
        {
            return LoadOutcome.Unknown(exception.GetType().Name);
        }
    }

    public async ValueTask<LoadOutcome> GetAsync(int worker, ulong random)
    {
        try
        {
            NatsResult<NatsKVEntry<byte[]>> found = await _bucket!.TryGetEntryAsync<byte[]>(_keys[random % Workload.Keys]);
            return found.Success ? LoadOutcome.Done : LoadOutcome.Failed("not found");
        }
        catch (NatsException exception)
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

    /// <summary>Connects and makes the bucket; false while the servers have not found each other.</summary>
    private async Task<bool> ConnectAsync(int port, CancellationToken stop)
    {
        _connection ??= new NatsConnection(new NatsOpts { Url = Text($"nats://127.0.0.1:{port}"), RequestTimeout = TimeSpan.FromSeconds(30) });

        // Servers that have not elected their leader for JetStream don't answer at all.
        using CancellationTokenSource patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
        patience.CancelAfter(TimeSpan.FromSeconds(2));
        try
        {
            await _connection.ConnectAsync();
            Version = _connection.ServerInfo?.Version ?? "";
            NatsKVConfig wanted = new("bench") { NumberOfReplicas = Servers, Storage = NatsKVStorageType.File, History = 1 };
            _bucket = await new NatsKVContext(new NatsJSContext(_connection)).CreateStoreAsync(wanted, patience.Token);
            return true;
        }
        catch (Exception exception) when (exception is NatsException or OperationCanceledException && !stop.IsCancellationRequested)
        {
            return false;
        }
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
