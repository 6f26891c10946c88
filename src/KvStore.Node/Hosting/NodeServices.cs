using System.Security.Cryptography;
using KvStore.Core.Identity;
using KvStore.Node.Faults;
using KvStore.Node.Peers;

namespace KvStore.Node.Hosting;

/// <summary>
/// THE COMPOSITION POINT: every part of a node that isn't Kestrel is made, wired, started and stopped here, by hand, in this order:
/// <code>
///   OpenAsync    before the port is open. Storage (recovery, the incarnation), then loops, catalog and clients, then mesh and heartbeats. Nothing runs yet.
///                What fails with a NodeFailureException ends the process with its sentence and exit code.
///   Register,    what gRPC services take in their constructors, and their routes.
///   Map
///   StartAsync   the port is open, the address is known: loops, mesh, heartbeats run; then the node may call itself ready.
///   StopAsync    graceful, while the port is still open: not ready, refuse new work, hand leadership over, flush, then heartbeats and mesh.
///   Kill         as if the process had died: no flush, no farewell. Must return at once.
/// </code>
/// </summary>
public sealed class NodeServices
{
    private readonly NodeOptions _options;
    private readonly NodeLifetime _lifetime;

    private NodeServices(NodeOptions options, NodeLifetime lifetime, ILoggerFactory loggers, PeerIdentity identity)
    {
        _options = options;
        _lifetime = lifetime;
        Identity = identity;
        Faults = new LinkFaults(options.FaultSeed);
        PeerMeshOptions connection = new();
        Mesh = new PeerMesh(identity, OnFrame, Faults, connection, options.Time, loggers.CreateLogger<PeerMesh>());
        Heartbeats = new HeartbeatService(
            identity,
            IsAlive,
            Faults,
            new HeartbeatOptions { Interval = options.HeartbeatInterval },
            connection,
            options.Time,
            loggers.CreateLogger<HeartbeatService>());
        Heartbeats.PeerHeard += Mesh.ReconnectNow;
    }

    public PeerIdentity Identity { get; }

    public LinkFaults Faults { get; }

    public PeerMesh Mesh { get; }

    public HeartbeatService Heartbeats { get; }

    public static Task<NodeServices> OpenAsync(NodeOptions options, NodeLifetime lifetime, ILoggerFactory loggers, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        PeerIdentity identity = new(options.ClusterId, new NodeId(options.NodeId), BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))));
        return Task.FromResult(new NodeServices(options, lifetime, loggers, identity));
    }

    public void Register(IServiceCollection services)
    {
        services.AddSingleton(Faults);
        services.AddSingleton(new FaultInjectionSwitch(Identity.Node, _options.EnableFaultInjection));
        services.AddSingleton(Mesh);
        services.AddSingleton(Heartbeats);
    }

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGrpcService<PeerService>();
        routes.MapGrpcService<FaultService>();
    }

    /// <param name="address">Where this node is reached, as others should know it.</param>
    public Task StartAsync(string address, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        UpdateMembers(_options.Members.Count > 0 ? _options.Members : [new PeerAddress(Identity.Node, address)]);
        Mesh.Start();
        Heartbeats.Start();
        _lifetime.SetReady(true);
        return Task.CompletedTask;
    }

    /// <summary>The members changed, or their addresses are only known now (in-process clusters on free ports).</summary>
    public void UpdateMembers(IReadOnlyList<PeerAddress> members)
    {
        Mesh.UpdateMembers(members);
        Heartbeats.UpdateMembers(members);
    }

    public async Task StopAsync(CancellationToken cancellation)
    {
        _lifetime.SetReady(false);
        await Task.WhenAll(Heartbeats.StopAsync(), Mesh.StopAsync()).WaitAsync(cancellation);
    }

    public void Kill()
    {
        Heartbeats.Abort();
        Mesh.Abort();
    }

    /// <summary>A frame of a peer, on the task of its stream: goes into the inboxes of the loops.</summary>
    private static void OnFrame(InboundFrame frame) => _ = frame;

    /// <summary>Whether the loops make progress and the disk answers; asked by the heartbeat thread each round.</summary>
    private static bool IsAlive() => true;
}
