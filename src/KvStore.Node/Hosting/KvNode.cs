using System.Net;
using System.Net.Sockets;
using Grpc.HealthCheck;
using KvStore.Contracts;
using KvStore.Node.Faults;
using KvStore.Node.Peers;
using KvStore.Node.Rest;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace KvStore.Node.Hosting;

/// <summary>A running node: Kestrel with gRPC around <see cref="NodeServices"/>. Several may live in one process.</summary>
/// <example><code>
/// await using KvNode node = await KvNode.StartAsync(new NodeOptions { ClusterId = "demo", NodeId = 1, Port = 0, Engine = StorageEngine.Memory }, cancellation);
/// </code></example>
public sealed class KvNode : IAsyncDisposable
{
    private const int StreamWindowBytes = 4 * 1_048_576;
    private const int ConnectionWindowBytes = 8 * 1_048_576;
    private const int StreamsPerConnection = 10_000;
    private const int MinPoolThreads = 8;

    /// <summary>
    /// Connections that whoever opened them has left without a word are only memory, so there is no hurry; clients and peers look for themselves, and sooner, whether this node is still there.
    /// </summary>
    private static readonly TimeSpan KeepAlivePingDelay = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan KeepAlivePingTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(10);

    private readonly WebApplication _application;
    private readonly ILoggerFactory _loggers;
    private readonly ILogger _log;
    private int _ended;

    private KvNode(NodeOptions options, WebApplication application, NodeServices services, NodeLifetime lifetime, ILoggerFactory loggers, int port)
    {
        Options = options;
        Services = services;
        Lifetime = lifetime;
        Port = port;
        HttpPort = options.HttpHost.Length == 0 ? 0 : BoundPort(application, endpoint: 1);
        Address = AdvertisedAddress(options, services.KnownAddress, port);
        _application = application;
        _loggers = loggers;
        _log = loggers.CreateLogger<KvNode>();
    }

    public NodeOptions Options { get; }

    public NodeServices Services { get; }

    public NodeLifetime Lifetime { get; }

    /// <summary>The port it listens on; with <see cref="NodeOptions.Port"/> 0 the one that was free.</summary>
    public int Port { get; }

    /// <summary>The port of the HTTP/1.1 face; with <see cref="NodeOptions.HttpPort"/> 0 the one that was free. 0: it has none.</summary>
    public int HttpPort { get; }

    /// <summary>Where clients and peers reach it, "host:port".</summary>
    public string Address { get; }

    /// <summary>Opens the data, then the port, then starts the node's parts. It answers health checks as soon as the port is open, and serves when it is ready.</summary>
    /// <exception cref="InvalidOptionsException">The options won't do.</exception>
    /// <exception cref="ListenFailedException">The port is taken or the address isn't this machine's.</exception>
    /// <exception cref="NodeFailureException">The data directory can't be used.</exception>
    public static async Task<KvNode> StartAsync(NodeOptions options, CancellationToken cancellation)
    {
        NodeOptionsValidation.ThrowIfInvalid(options);
        RaisePoolMinimum();
        ILoggerFactory loggers = NodeLogging.Create(options);
        NodeServices? services = null;
        WebApplication? application = null;
        try
        {
            NodeLifetime lifetime = new(loggers.CreateLogger<NodeLifetime>());
            services = await NodeServices.OpenAsync(options, lifetime, loggers, cancellation);
            application = Build(options, services, lifetime, loggers);
            await ListenAsync(application, options, cancellation);
            KvNode node = new(options, application, services, lifetime, loggers, BoundPort(application));
            await services.StartAsync(node.Address, new IPEndPoint(EndPoint(options).Address, BoundPort(application)), cancellation);
            node.Announce();
            return node;
        }
        catch
        {
            services?.Kill();
            if (application is not null)
            {
                await application.DisposeAsync();
            }

            loggers.Dispose();
            throw;
        }
    }

    /// <summary>Graceful: hands over, flushes, says farewell. Gives up on what hangs after 10 s. Only the first stop or kill counts.</summary>
    public async Task StopAsync(CancellationToken cancellation = default)
    {
        if (Interlocked.Exchange(ref _ended, 1) != 0)
        {
            return;
        }

        HostLog.Stopping(_log);
        using CancellationTokenSource deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(StopTimeout);
        try
        {
            await Services.StopAsync(deadline.Token);
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            HostLog.StopFailed(_log, failure);
            Services.Kill();
        }

        // Streams of clients never end by themselves: whoever is still connected now is cut off soon.
        deadline.CancelAfter(TimeSpan.FromMilliseconds(500));
        await EndAsync(deadline.Token);
        HostLog.Stopped(_log);
        await DisposeHostAsync();
    }

    /// <summary>
    /// As if the process had been killed: nothing is flushed or handed over, connections are dropped. What the memory engine held is gone; the data directory may be opened again when this returns.
    /// </summary>
    public async Task KillAsync()
    {
        if (Interlocked.Exchange(ref _ended, 1) != 0)
        {
            return;
        }

        HostLog.Killed(_log);
        Services.Kill();
        await EndAsync(new CancellationToken(canceled: true));
        await DisposeHostAsync();
    }

    public async ValueTask DisposeAsync() => await StopAsync();

    private static WebApplication Build(NodeOptions options, NodeServices services, NodeLifetime lifetime, ILoggerFactory loggers)
    {
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions { ApplicationName = "KvStore.Node" });
        builder.Services.Replace(ServiceDescriptor.Singleton(loggers));
        builder.Services.AddSingleton<IHostLifetime, NoSignals>();
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => Configure(kestrel, options));
        builder.Services.AddGrpc(grpc => grpc.MaxReceiveMessageSize = grpc.MaxSendMessageSize = KvLimits.MaxMessageBytes)
            .AddServiceOptions<PeerService>(peers => peers.MaxReceiveMessageSize = peers.MaxSendMessageSize = PeerMeshOptions.MaxMessageBytes);
        builder.Services.AddGrpcReflection();
        builder.Services.AddSingleton(lifetime);
        builder.Services.AddSingleton(lifetime.Health);
        services.Register(builder.Services);
        if (options.HttpHost.Length > 0)
        {
            RestServices.Add(builder.Services);
        }

        WebApplication application = builder.Build();
        application.MapGrpcService<HealthServiceImpl>();
        application.MapGrpcReflectionService();
        services.Map(application);
        if (options.HttpHost.Length > 0)
        {
            application.UseWhen(RestErrors.Covers, rest => rest.UseMiddleware<RestErrors>());
            RestRoutes.Map(application);
            application.MapOpenApi("/openapi/v1.json");
            application.MapPrometheusScrapingEndpoint("/metrics");
        }

        return application;
    }

    private static void Configure(KestrelServerOptions kestrel, NodeOptions options)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.Http2.InitialStreamWindowSize = StreamWindowBytes;
        kestrel.Limits.Http2.InitialConnectionWindowSize = ConnectionWindowBytes;
        kestrel.Limits.Http2.MaxStreamsPerConnection = StreamsPerConnection;
        kestrel.Limits.Http2.KeepAlivePingDelay = KeepAlivePingDelay;
        kestrel.Limits.Http2.KeepAlivePingTimeout = KeepAlivePingTimeout;

        // Streams live as long as their connection and are silent for as long as nothing happens.
        kestrel.Limits.MaxRequestBodySize = null;
        kestrel.Limits.MinRequestBodyDataRate = null;
        kestrel.Limits.MinResponseDataRate = null;
        kestrel.Listen(EndPoint(options), listen => listen.Protocols = HttpProtocols.Http2);
        if (options.HttpHost.Length > 0)
        {
            kestrel.Listen(EndPoint(options.HttpHost, options.HttpPort), listen => listen.Protocols = HttpProtocols.Http1);
        }
    }

    private static IPEndPoint EndPoint(NodeOptions options) => EndPoint(options.ListenHost, options.Port);

    private static IPEndPoint EndPoint(string host, int port) => new(
        host switch
        {
            "*" => IPAddress.IPv6Any,
            "localhost" => IPAddress.Loopback,
            _ => IPAddress.Parse(host),
        },
        port);

    private static async Task ListenAsync(WebApplication application, NodeOptions options, CancellationToken cancellation)
    {
        string flags = options.HttpHost.Length == 0 ? "--listen" : "--listen or --http";
        string address = options.HttpHost.Length == 0 ? $"{options.ListenHost}:{options.Port}" : $"{options.ListenHost}:{options.Port} or {options.HttpHost}:{options.HttpPort}";
        try
        {
            await application.StartAsync(cancellation);
        }
        catch (IOException failure) when (failure.InnerException is AddressInUseException)
        {
            throw new ListenFailedException($"Can't listen on {address}: another process already does. Stop it, or choose another {flags}.", failure);
        }
        catch (SocketException failure)
        {
            throw new ListenFailedException($"Can't listen on {address}: {failure.Message}. Choose an address of this machine and a port you may use with {flags}.", failure);
        }
    }

    /// <param name="endpoint">0: gRPC; 1: HTTP/1.1. In the order in which they were configured.</param>
    private static int BoundPort(WebApplication application, int endpoint = 0)
    {
        ICollection<string> addresses = application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses;
        return new Uri(addresses.ElementAt(endpoint)).Port;
    }

    private static string AdvertisedAddress(NodeOptions options, string? known, int port)
    {
        if (options.AdvertisedAddress.Length > 0)
        {
            return options.AdvertisedAddress;
        }

        string? listed = options.Members.FirstOrDefault(member => member.Node.Value == options.NodeId).Address;
        string host = options.ListenHost.Contains(':') ? $"[{options.ListenHost}]" : options.ListenHost;
        return listed ?? (options.Join.Count > 0 ? known : null) ?? $"{host}:{port}";
    }

    /// <summary>A burst after a pause must not wait for the pool to grow by one thread each half second.</summary>
    private static void RaisePoolMinimum()
    {
        ThreadPool.GetMinThreads(out int workers, out int ports);
        ThreadPool.SetMinThreads(Math.Max(workers, MinPoolThreads), Math.Max(ports, MinPoolThreads));
    }

    private void Announce()
    {
        string version = typeof(KvNode).Assembly.GetName().Version?.ToString(3) ?? "";
        HostLog.Listening(_log, Options.NodeId, Options.ClusterId, Address, version, Options.Engine, Math.Max(1, Options.Members.Count));
        if (Options.EnableFaultInjection)
        {
            FaultLog.Enabled(_log);
        }
    }

    private async Task EndAsync(CancellationToken deadline)
    {
        try
        {
            await _application.StopAsync(deadline);
        }
        catch (OperationCanceledException)
        {
            // The connections that were left have been dropped.
        }
    }

    private async Task DisposeHostAsync()
    {
        await _application.DisposeAsync();
        _loggers.Dispose();
    }

    /// <summary>Signals are the program's affair, not of each node in a process.</summary>
    private sealed class NoSignals : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
