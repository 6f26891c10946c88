namespace KvStore.Node.Peers;

/// <summary>Tags of proto/kvstore/v1/peer.proto (field number times 8, plus the wire type) that writer and reader share.</summary>
internal static class PeerFrameTags
{
    public const uint Message = 18;
    public const uint Operation = 26;
    public const uint Result = 34;

    public const uint Shard = 8;
    public const uint Epoch = 16;
    public const uint Raft = 26;
    public const uint Dotted = 34;
    public const uint Snapshot = 42;

    public const uint ForwardId = 8;
    public const uint ForwardBody = 18;

    /// <summary>What the heads around the body of one message take at most.</summary>
    public const int MaxHeadBytes = 64;
}
