using KvStore.Core.Identity;
using KvStore.Node.Hosting;
using KvStore.Node.Peers;

namespace KvStore.TestKit;

/// <summary>One node of a <see cref="KvTestCluster"/>: the same address and data through kills and restarts.</summary>
public sealed class KvTestNode : IAsyncDisposable
{
    private NodeOptions _options;
    private KvNode? _running;

    internal KvTestNode(PeerAddress address, NodeOptions options)
    {
        _options = options with { Time = Clock };
        Id = address.Node.Value;
        Address = address.Address;
        Client = new KvNodeClient(Id, $"http://{Address}");
    }

    /// <summary>1 and up.</summary>
    public uint Id { get; }

    /// <summary>"host:port".</summary>
    public string Address { get; }

    /// <summary>Its HTTP/1.1 face, "http://host:port": another one after each start. Only with <see cref="KvTestClusterOptions.Http"/>, and while it runs.</summary>
    public Uri HttpAddress => Running.HttpPort > 0 ? new Uri($"http://127.0.0.1:{Running.HttpPort}") : throw new InvalidOperationException("The cluster was started without Http.");

    /// <summary>Where its data is; empty for in-memory clusters.</summary>
    public string DataDirectory => _options.DataDirectory;

    /// <summary>Neither stopped nor killed.</summary>
    public bool IsRunning => _running is not null;

    /// <summary>Talks to this node and no other.</summary>
    public KvNodeClient Client { get; }

    internal ShiftableClock Clock { get; } = new();

    internal KvNode Running => _running ?? throw new InvalidOperationException($"Node {Id} does not run.");

    /// <summary>Stops it and its client.</summary>
    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        await KillAsync();
    }

    internal async Task StartAsync(CancellationToken cancellation)
    {
        if (_running is null)
        {
            _running = await KvNode.StartAsync(_options, cancellation);
        }
    }

    /// <summary>Starts the node's successor, with nothing of what it had.</summary>
    internal Task StartAnewAsync(uint generation, CancellationToken cancellation)
    {
        if (IsRunning)
        {
            throw new InvalidOperationException($"Node {Id} runs: kill or stop it before another one takes its place.");
        }

        if (DataDirectory.Length > 0 && Directory.Exists(DataDirectory))
        {
            Directory.Delete(DataDirectory, recursive: true);
        }

        _options = _options with { Generation = generation };
        return StartAsync(cancellation);
    }

    /// <summary>Starts it once with nodes given up for good.</summary>
    internal async Task StartWithoutAsync(IEnumerable<uint> lost, CancellationToken cancellation)
    {
        if (IsRunning)
        {
            throw new InvalidOperationException($"Node {Id} runs: stop or kill it before it is started without others.");
        }

        _running = await KvNode.StartAsync(_options with { RecoverWithout = [.. lost.Select(id => new NodeId(id))], AcceptDataLoss = true }, cancellation);
    }

    internal async Task StopAsync()
    {
        if (_running is { } node)
        {
            _running = null;
            await node.StopAsync();
        }
    }

    internal async Task KillAsync()
    {
        if (_running is { } node)
        {
            _running = null;
            await node.KillAsync();
        }
    }
}
