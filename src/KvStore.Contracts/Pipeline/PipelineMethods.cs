using Grpc.Core;

namespace KvStore.Contracts.Pipeline;

/// <summary>kvstore.v1.KvPipeline for both sides, with frames instead of generated messages. The bytes on the wire are the same.</summary>
public static class PipelineMethods
{
    public static Method<RawFrame, RawFrame> Run { get; } =
        new(MethodType.DuplexStreaming, "kvstore.v1.KvPipeline", "Run", RawFrame.Marshaller, RawFrame.Marshaller);
}
