using Grpc.Core;

namespace KvStore.Contracts.Pipeline;

/// <summary>The server's side of kvstore.v1.KvPipeline. Map a subclass with MapGrpcService; requests are OperationBatch bytes, responses ResultBatch bytes.</summary>
[BindServiceMethod(typeof(KvPipelineServiceBase), nameof(BindService))]
public abstract class KvPipelineServiceBase
{
    public abstract Task Run(IAsyncStreamReader<RawFrame> requests, IServerStreamWriter<RawFrame> responses, ServerCallContext context);

    /// <summary>Found by Grpc.AspNetCore through the attribute; the service is null while it looks for methods.</summary>
    public static void BindService(ServiceBinderBase binder, KvPipelineServiceBase? service) =>
        binder.AddMethod(PipelineMethods.Run, service is null ? null! : new DuplexStreamingServerMethod<RawFrame, RawFrame>(service.Run));
}
