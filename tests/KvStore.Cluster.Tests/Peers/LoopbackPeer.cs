using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Faults;
using KvStore.Node.Peers;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace KvStore.Cluster.Tests.Peers;

/// <summary>A mesh and heartbeats behind a real port on loopback, and everything that arrived there.</summary>
internal sealed class LoopbackPeer : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly WebApplication _application;

    private LoopbackPeer(PeerIdentity identity, int port, PeerMeshOptions options, bool datagrams)
    {
        Faults = new LinkFaults(seed: 7);
        Log = new CapturedLog();
        using LoggerFactory loggers = new([Log]);
        Mesh = new PeerMesh(identity, Received.Enqueue, Faults, options, TimeProvider.System, loggers.CreateLogger<PeerMesh>());
        Heartbeats = new HeartbeatService(identity, () => Alive, Faults, new HeartbeatOptions(), options, TimeProvider.System, NullLogger<HeartbeatService>.Instance);
        if (datagrams)
        {
            Heartbeats.UseDatagrams(new IPEndPoint(IPAddress.Loopback, port));
        }

        Mesh.PeerDisconnected += Disconnected.Enqueue;
        Address = new PeerAddress(identity.Node, $"127.0.0.1:{port}");

        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, port, listen => listen.Protocols = HttpProtocols.Http2));
        builder.Services.AddSingleton<IHostLifetime, NoSignals>();
        builder.Services.AddGrpc(grpc => grpc.MaxReceiveMessageSize = PeerMeshOptions.MaxMessageBytes);
        builder.Services.AddSingleton(Mesh);
        builder.Services.AddSingleton(Heartbeats);
        _application = builder.Build();
        _application.MapGrpcService<PeerService>();
    }

    public PeerAddress Address { get; }

    public PeerMesh Mesh { get; }

    public HeartbeatService Heartbeats { get; }

    public LinkFaults Faults { get; }

    public CapturedLog Log { get; }

    public volatile bool Alive = true;

    public ConcurrentQueue<InboundFrame> Received { get; } = new();

    public ConcurrentQueue<NodeId> Disconnected { get; } = new();

    public NodeId Node => Address.Node;

    public static async Task<LoopbackPeer> StartAsync(uint node, int port = 0, string cluster = "test", PeerMeshOptions? options = null, bool datagrams = true)
    {
        LoopbackPeer peer = new(new PeerIdentity(cluster, new NodeId(node), 1_000 + node), port == 0 ? FreePort() : port, options ?? new PeerMeshOptions(), datagrams);
        await peer._application.StartAsync();
        peer.Mesh.Start();
        peer.Heartbeats.Start();
        return peer;
    }

    /// <summary>As many as asked for, knowing one another.</summary>
    public static async Task<LoopbackPeer[]> StartClusterAsync(int nodes, PeerMeshOptions? options = null)
    {
        LoopbackPeer[] peers = new LoopbackPeer[nodes];
        for (int i = 0; i < nodes; i++)
        {
            peers[i] = await StartAsync((uint)i + 1, options: options);
        }

        Introduce(peers);
        return peers;
    }

    public static void Introduce(params LoopbackPeer[] peers)
    {
        PeerAddress[] members = [.. peers.Select(peer => peer.Address)];
        foreach (LoopbackPeer peer in peers)
        {
            peer.Knows(members);
        }
    }

    public void Knows(params PeerAddress[] members)
    {
        Mesh.UpdateMembers(members);
        Heartbeats.UpdateMembers(members);
    }

    public int Port => int.Parse(Address.Address.Split(':')[1], System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Sends one dotted message whose payload is the text's length and nothing that matters otherwise.</summary>
    public void Say(LoopbackPeer to, string text)
    {
        PeerOutbox outbox = Mesh.CreateOutbox();
        outbox.Send(ShardId.System, to.Node, DottedMessageKind.Replicate, System.Text.Encoding.UTF8.GetBytes(text));
        outbox.Flush();
    }

    /// <summary>All texts that arrived from a peer so far, in order.</summary>
    public IReadOnlyList<string> HeardFrom(LoopbackPeer from)
    {
        List<string> texts = [];
        EntryScratch scratch = new();
        foreach (InboundFrame frame in Received.Where(frame => frame.From == from.Node))
        {
            PeerFrameReader reader = new(frame.Bytes, scratch);
            while (reader.Read())
            {
                if (reader.Item == PeerFrameItem.Dotted)
                {
                    texts.Add(System.Text.Encoding.UTF8.GetString(reader.DottedPayload.Span));
                }
            }
        }

        return texts;
    }

    public static async Task ConnectedAsync(params LoopbackPeer[] peers)
    {
        foreach (LoopbackPeer a in peers)
        {
            foreach (LoopbackPeer b in peers.Where(b => b != a))
            {
                await UntilAsync(() => a.Mesh.Counters(b.Node) is { FramesConnected: true, BulkConnected: true }, $"{a.Node} to connect to {b.Node}");
            }
        }
    }

    /// <summary>Waits for a condition that other threads bring about.</summary>
    public static async Task UntilAsync(Func<bool> condition, string what)
    {
        using PeriodicTimer timer = new(TimeSpan.FromMilliseconds(5));
        using CancellationTokenSource deadline = new(Deadline);
        while (!condition())
        {
            try
            {
                await timer.WaitForNextTickAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                throw new TimeoutException($"Waited {Deadline.TotalSeconds:0} s in vain for {what}.");
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Task.WhenAll(Mesh.StopAsync(), Heartbeats.StopAsync());
        await _application.StopAsync(new CancellationToken(canceled: true)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _application.DisposeAsync();
    }

    private static int FreePort()
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }

    private sealed class NoSignals : IHostLifetime
    {
        public Task WaitForStartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}

/// <summary>The lines that a peer logged.</summary>
internal sealed class CapturedLog : ILoggerProvider, ILogger
{
    public ConcurrentQueue<string> Lines { get; } = new();

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Lines.Enqueue(formatter(state, exception));

    public void Dispose()
    {
    }
}
