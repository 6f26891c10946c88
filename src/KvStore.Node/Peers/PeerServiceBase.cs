using Grpc.Core;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Node.Peers;

/// <summary>kvstore.v1.Peer on the receiving side, with frames as raw bytes.</summary>
[BindServiceMethod(typeof(PeerServiceBase), nameof(BindService))]
public abstract class PeerServiceBase
{
    public abstract Task Frames(IAsyncStreamReader<RawFrame> requests, IServerStreamWriter<PeerWelcome> responses, ServerCallContext context);

    public abstract Task Heartbeats(IAsyncStreamReader<Heartbeat> requests, IServerStreamWriter<Heartbeat> responses, ServerCallContext context);

    /// <summary>Found by Grpc.AspNetCore through the attribute; the service is null while it looks for methods.</summary>
    public static void BindService(ServiceBinderBase binder, PeerServiceBase? service)
    {
        binder.AddMethod(PeerMethods.ReceiveFrames, service is null ? null! : new DuplexStreamingServerMethod<RawFrame, PeerWelcome>(service.Frames));
        binder.AddMethod(PeerMethods.Heartbeats, service is null ? null! : new DuplexStreamingServerMethod<Heartbeat, Heartbeat>(service.Heartbeats));
    }
}

/// <summary>Hands the streams of peers to the mesh and to the heartbeats.</summary>
public sealed class PeerService(PeerMesh mesh, HeartbeatService heartbeats) : PeerServiceBase
{
    public override Task Frames(IAsyncStreamReader<RawFrame> requests, IServerStreamWriter<PeerWelcome> responses, ServerCallContext context) =>
        mesh.AcceptAsync(requests, responses, context.CancellationToken);

    public override Task Heartbeats(IAsyncStreamReader<Heartbeat> requests, IServerStreamWriter<Heartbeat> responses, ServerCallContext context) =>
        heartbeats.AcceptAsync(requests, responses, context.CancellationToken);
}
