using KvStore.Core.Identity;
using KvStore.Node.Peers;
using KvStore.Storage;

namespace KvStore.Node.Loops;

internal enum LoopItemKind : byte
{
    /// <summary>A frame of a peer, with messages of many shards.</summary>
    PeerFrame = 1,

    Storage = 2,

    /// <summary>The failure detector changed its mind about a peer.</summary>
    Reachability = 3,

    /// <summary>The streams to a peer broke: what was forwarded there is unknown.</summary>
    PeerLost = 4,

    /// <summary>Something rare, to be done on the loop.</summary>
    Command = 5,
    Tick = 6,
}

/// <summary>One thing in a loop's inbox. Only the members of its kind are set.</summary>
internal readonly struct LoopItem
{
    public LoopItemKind Kind { get; init; }

    public InboundFrame? Frame { get; init; }

    public StorageEvent Storage { get; init; }

    public NodeId Peer { get; init; }

    public bool Reachable { get; init; }

    /// <summary>Reachability: which life of the peer is heard; zero before anything was.</summary>
    public ulong Boot { get; init; }

    /// <summary>Tick: how many have passed since the last one.</summary>
    public int Ticks { get; init; }

    public Action<ShardLoop>? Command { get; init; }
}
