using System.Buffers;
using Grpc.Core;

namespace KvStore.Node.Peers;

/// <summary>The buffers that travel as one message: their bytes one behind another. Used again for every write of a stream.</summary>
internal sealed class OutboundFrame
{
    public List<OutboundBuffer> Parts { get; } = [];

    public int Length { get; private set; }

    public static Marshaller<OutboundFrame> Marshaller { get; } =
        new(Serialize, static (DeserializationContext _) => throw new InvalidOperationException("Outbound frames are only sent."));

    public void Add(OutboundBuffer part)
    {
        Parts.Add(part);
        Length += part.Length;
    }

    public void Clear()
    {
        Parts.Clear();
        Length = 0;
    }

    private static void Serialize(OutboundFrame frame, SerializationContext context)
    {
        context.SetPayloadLength(frame.Length);
        IBufferWriter<byte> writer = context.GetBufferWriter();
        foreach (OutboundBuffer part in frame.Parts)
        {
            writer.Write(part.Written);
        }

        context.Complete();
    }
}
