using System.Buffers;
using Grpc.Core;

namespace KvStore.Contracts.Pipeline;

/// <summary>
/// One message of a hot stream as its protobuf bytes, neither parsed nor built by generated code (which costs ten times as much and allocates). Received frames own an array of their own, so
/// what is decoded from them may slice it and be kept. Frames to send may reuse their buffer once the write has completed.
/// </summary>
public sealed class RawFrame
{
    public RawFrame(ReadOnlyMemory<byte> bytes) => Bytes = bytes;

    /// <summary>May be set anew by the owner of a frame that is sent again and again.</summary>
    public ReadOnlyMemory<byte> Bytes { get; set; }

    public static Marshaller<RawFrame> Marshaller { get; } = new(Serialize, Deserialize);

    private static void Serialize(RawFrame frame, SerializationContext context)
    {
        ReadOnlySpan<byte> bytes = frame.Bytes.Span;
        context.SetPayloadLength(bytes.Length);
        IBufferWriter<byte> writer = context.GetBufferWriter();
        bytes.CopyTo(writer.GetSpan(bytes.Length));
        writer.Advance(bytes.Length);
        context.Complete();
    }

    private static RawFrame Deserialize(DeserializationContext context)
    {
        byte[] bytes = GC.AllocateUninitializedArray<byte>(context.PayloadLength);
        context.PayloadAsReadOnlySequence().CopyTo(bytes);
        return new RawFrame(bytes);
    }
}
