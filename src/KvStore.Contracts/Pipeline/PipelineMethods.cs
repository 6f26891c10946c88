using System.Globalization;
using Grpc.Core;

namespace KvStore.Contracts.Pipeline;

/// <summary>kvstore.v1.KvPipeline for both sides, with frames instead of generated messages. The bytes on the wire are the same.</summary>
public static class PipelineMethods
{
    /// <summary>Request metadata of a stream: <see cref="ClusterMarkOf"/> of the cluster that the caller means. A node of another cluster refuses the stream. Without it nothing is checked.</summary>
    public const string ClusterHeader = "kvstore-cluster";

    public static Method<RawFrame, RawFrame> Run { get; } =
        new(MethodType.DuplexStreaming, "kvstore.v1.KvPipeline", "Run", RawFrame.Marshaller, RawFrame.Marshaller);

    public static string ClusterMarkOf(string clusterId) => SessionTokens.ClusterMark(clusterId).ToString("x16", CultureInfo.InvariantCulture);
}
