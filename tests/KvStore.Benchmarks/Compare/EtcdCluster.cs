using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using KvStore.Benchmarks.Compare.Etcd;
using KvStore.Cli.Bench.Load;

namespace KvStore.Benchmarks.Compare;

/// <summary>
/// Three members of etcd, and a client that speaks to their leader, which saves etcd the hop of forwarding. The requests exist before the first operation, and several HTTP/2 connections are allowed.
/// </summary>
internal sealed class EtcdCluster : IAsyncDisposable
{
    public const string Program = "etcd";

    private const int Members = 3;

    private readonly List<PeerProcess> _processes = [];
    private readonly PutRequest[] _puts = new PutRequest[Workload.Keys];
    private readonly RangeRequest[] _ranges = new RangeRequest[Workload.Keys];
    private GrpcChannel? _channel;
    private KV.KVClient? _client;

    private EtcdCluster()
    {
        ByteString value = UnsafeByteOperations.UnsafeWrap(Workload.Value());
        for (int key = 0; key < Workload.Keys; key++)
        {
            ByteString bytes = UnsafeByteOperations.UnsafeWrap(Workload.Key(key));
            _puts[key] = new PutRequest { Key = bytes, Value = value };
            _ranges[key] = new RangeRequest { Key = bytes };
        }
    }

    public string Version { get; private set; } = "";

    /// <summary>Starts the members on twice as many consecutive ports and waits until they have a leader.</summary>
    public static async Task<EtcdCluster> StartAsync(string directory, int firstPort, CancellationToken stop)
    {
        EtcdCluster cluster = new();
        try
        {
            string members = string.Join(',', Enumerable.Range(0, Members).Select(member => $"m{member}={Address(firstPort + Members + member)}"));
            for (int member = 0; member < Members; member++)
            {
                string client = Address(firstPort + member);
                string peer = Address(firstPort + Members + member);
                string home = Path.Combine(directory, $"etcd-{member}");
                cluster._processes.Add(PeerProcess.Start(
                    home,
                    Program,
                    [
                        "--name", $"m{member}", "--data-dir", Path.Combine(home, "data"), "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                        "--initial-advertise-peer-urls", peer, "--initial-cluster", members, "--initial-cluster-state", "new", "--logger", "zap", "--log-level", "error",
                    ]));
            }

            await PeerProcess.UntilAsync("etcd's leader", () => cluster.ConnectAsync(firstPort, stop), stop);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    public async ValueTask<LoadOutcome> PutAsync(int worker, ulong random)
    {
        try
        {
            await _client!.PutAsync(_puts[random % Workload.Keys]);
            return LoadOutcome.Done;
        }
        catch (RpcException exception)
        {
            return LoadOutcome.Failed(exception.StatusCode.ToString());
        }
    }

    /// <summary>A linearizable read: etcd's default.</summary>
    public async ValueTask<LoadOutcome> GetAsync(int worker, ulong random)
    {
        try
        {
            RangeResponse answer = await _client!.RangeAsync(_ranges[random % Workload.Keys]);
            return answer.Kvs.Count == 1 ? LoadOutcome.Done : LoadOutcome.Failed("not found");
        }
        catch (RpcException exception)
        {
            return LoadOutcome.Failed(exception.StatusCode.ToString());
        }
    }

    public async ValueTask DisposeAsync()
    {
        _channel?.Dispose();
        foreach (PeerProcess process in _processes)
        {
            await process.DisposeAsync();
        }
    }

    private static string Address(int port) => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}");

    /// <summary>Connects to the leader; false while there is none.</summary>
    private async Task<bool> ConnectAsync(int firstPort, CancellationToken stop)
    {
        for (int member = 0; member < Members; member++)
        {
            SocketsHttpHandler handler = new() { EnableMultipleHttp2Connections = true, UseProxy = false, UseCookies = false };
            GrpcChannel channel = GrpcChannel.ForAddress(Address(firstPort + member), new GrpcChannelOptions { HttpHandler = handler, DisposeHttpClient = true });
            try
            {
                StatusResponse status = await new Maintenance.MaintenanceClient(channel).StatusAsync(new StatusRequest(), deadline: DateTime.UtcNow.AddSeconds(2), cancellationToken: stop);
                if (status.Leader != 0 && status.Leader == status.Header.MemberId)
                {
                    (_channel, _client, Version) = (channel, new KV.KVClient(channel), status.Version);
                    return true;
                }
            }
            catch (RpcException) when (!stop.IsCancellationRequested)
            {
                // It does not answer yet.
            }

            channel.Dispose();
        }

        return false;
    }
}
