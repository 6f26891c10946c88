using KvStore.Client.Connections;
using KvStore.Client.Operations;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Client;

/// <summary>The client. See <see cref="IKvClient"/>.</summary>
/// <example><code>
/// await using IKvClient client = KvClient.Create("http://localhost:7001");
/// await client.Keyspace("orders").PutAsync("order/17", "paid");
/// </code></example>
public sealed class KvClient : IKvClient
{
    private readonly Dispatcher _dispatcher;
    private readonly TopologyWatcher _watcher;
    private readonly KvAdminClient _admin;
    private readonly KvClientOptions _options;
    private readonly WatchChannels _watches;
    private int _isDisposed;

    private KvClient(KvClientOptions options, ILogger log, TimeProvider time)
    {
        _options = options;
        _dispatcher = new Dispatcher(options, time, Random.Shared, (owner, dispatcher) => new PipelineStream(owner, dispatcher, options));
        _dispatcher.Connections.Log = log;
        _watcher = new TopologyWatcher(_dispatcher, options, log);
        _admin = new KvAdminClient(this, options);
        _watches = new WatchChannels(options);
    }

    /// <inheritdoc/>
    public IKvAdmin Admin => _admin;

    /// <inheritdoc/>
    public KvTopology? Topology => _dispatcher.Map?.Public;

    internal Connections.ConnectionTable Connections => _dispatcher.Connections;

    /// <summary>Makes a client. It connects in the background; the first operations wait for that within their deadlines.</summary>
    /// <param name="options">The settings; not to be changed afterwards.</param>
    /// <param name="loggers">Where to log to; null: nowhere.</param>
    /// <exception cref="Microsoft.Extensions.Options.OptionsValidationException">A setting is out of its range; the message names it.</exception>
    public static KvClient Create(KvClientOptions options, ILoggerFactory? loggers = null) => Create(options, loggers, TimeProvider.System);

    /// <summary>Makes a client with default settings.</summary>
    /// <param name="endpoints">Seeds: "http://host:port", at least one.</param>
    public static KvClient Create(params IEnumerable<string> endpoints)
    {
        KvClientOptions options = new();
        foreach (string endpoint in endpoints)
        {
            options.Endpoints.Add(endpoint);
        }

        return Create(options);
    }

    /// <inheritdoc/>
    public IKvKeyspace Keyspace(string name) => Keyspace(name, KvKeyspaceOptions.Default);

    /// <inheritdoc/>
    public IKvKeyspace Keyspace(string name, KvKeyspaceOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(name.Length, Contracts.KvLimits.MaxKeyspaceNameLength, nameof(name));
        return new KeyspaceClient(name, _dispatcher, _options, options, _watches);
    }

    /// <inheritdoc/>
    public KvSession CreateSession(string? token = null) => new(token);

    /// <inheritdoc/>
    public async ValueTask<KvTopology> GetTopologyAsync(CancellationToken cancellationToken = default)
    {
        if (Topology is { } known)
        {
            return known;
        }

        long begunMs = _dispatcher.Clock.NowMs;
        using var deadline = new CancellationTokenSource(_options.DefaultTimeout, _dispatcher.Clock.Time);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        while (!_watcher.First.IsCompleted)
        {
            Task next = _dispatcher.Seeds.Next;
            if (_dispatcher.Seeds.OnlyStrangersSince(begunMs) is { } strangers)
            {
                throw NoTopology(KvCode.Unsupported, strangers);
            }

            Task either = Task.WhenAny(_watcher.First, next);
            await either.WaitAsync(end.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellationToken.ThrowIfCancellationRequested();
            if (deadline.IsCancellationRequested && !_watcher.First.IsCompleted)
            {
                (KvCode code, string reason) = _dispatcher.Seeds.AtDeadline(_dispatcher.Clock.NowMs);
                throw NoTopology(code, reason);
            }
        }

        return await _watcher.First.ConfigureAwait(false);
    }

    private static KvException NoTopology(KvCode code, string reason) =>
        new($"topology: {reason} ({code}, while connecting). {Failure.Advice(code, isWrite: false, unknown: false)}", code, KvPhase.Connecting, outcomeUnknown: false);

    /// <summary>Closes the connections. Operations under way end as <see cref="KvCode.ShuttingDown"/>; writes among them that were sent are unknown.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            await _watcher.DisposeAsync().ConfigureAwait(false);
            _dispatcher.Close();
            _admin.Dispose();
            _watches.Dispose();
        }
    }

    internal static KvClient Create(KvClientOptions options, ILoggerFactory? loggers, TimeProvider time)
    {
        ArgumentNullException.ThrowIfNull(options);
        KvClientOptionsValidator.ThrowIfInvalid(options);
        return new KvClient(options, (loggers ?? NullLoggerFactory.Instance).CreateLogger<KvClient>(), time);
    }
}
