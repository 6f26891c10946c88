using Google.Protobuf;
using Grpc.Core;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Node.Peers;

/// <summary>kvstore.v1.Peer with frames as raw bytes on both ends; the rest as generated code has it.</summary>
internal static class PeerMethods
{
    private const string Service = "kvstore.v1.Peer";

    private static readonly Marshaller<PeerWelcome> Welcome = Generated(PeerWelcome.Parser);

    private static readonly Marshaller<Heartbeat> Beat = Generated(Heartbeat.Parser);

    public static readonly Method<OutboundFrame, PeerWelcome> SendFrames = new(MethodType.DuplexStreaming, Service, "Frames", OutboundFrame.Marshaller, Welcome);

    public static readonly Method<RawFrame, PeerWelcome> ReceiveFrames = new(MethodType.DuplexStreaming, Service, "Frames", RawFrame.Marshaller, Welcome);

    public static readonly Method<Heartbeat, Heartbeat> Heartbeats = new(MethodType.DuplexStreaming, Service, "Heartbeats", Beat, Beat);

    private static Marshaller<T> Generated<T>(MessageParser<T> parser)
        where T : IMessage<T>, IBufferMessage => new(
            static (message, context) =>
            {
                context.SetPayloadLength(message.CalculateSize());
                message.WriteTo(context.GetBufferWriter());
                context.Complete();
            },
            context => parser.ParseFrom(context.PayloadAsReadOnlySequence()));
}
