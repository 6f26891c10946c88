using KvStore.Core.Identity;

namespace KvStore.Node.Peers;

/// <summary>One frame as it came from a peer. It owns its bytes: what is decoded from them may slice them and be kept.</summary>
public sealed class InboundFrame
{
    private readonly Action<string>? _reset;

    public InboundFrame(NodeId from, ReadOnlyMemory<byte> bytes, Action<string>? reset = null)
    {
        From = from;
        Bytes = bytes;
        _reset = reset;
    }

    public NodeId From { get; }

    public ReadOnlyMemory<byte> Bytes { get; }

    /// <summary>Ends the stream this frame came on, because its bytes can't be trusted; the peer connects anew. Any thread, any number of times.</summary>
    public void ResetConnection(string reason) => _reset?.Invoke(reason);
}
