using KvStore.Core.Identity;

namespace KvStore.Node.Peers;

/// <summary>Where a member of the cluster is reached, "host:port".</summary>
public readonly record struct PeerAddress(NodeId Node, string Address)
{
    public override string ToString() => $"{Node}={Address}";
}

/// <summary>Who this process is, as it says in every handshake, and what it remembers of its peers.</summary>
/// <param name="ClusterId">Nodes of another cluster are refused.</param>
/// <param name="Node">This node.</param>
/// <param name="Incarnation">How often the data directory was opened: peers see by it that the process is another one.</param>
public sealed record PeerIdentity(string ClusterId, NodeId Node, ulong Incarnation)
{
    /// <summary>The data directory: peers see by it that a node came back without what it had. Zero: not said, and not checked.</summary>
    public ulong Directory { get; init; }

    /// <summary>Which successor of the node under this id it is.</summary>
    public uint Generation { get; init; }

    /// <summary>This process: a copy of the directory may have been started as often.</summary>
    public ulong Boot { get; init; } = (ulong)Random.Shared.NextInt64();

    /// <summary>How many batches of the log are durable now.</summary>
    public Func<ulong> DurableBatch { get; init; } = static () => 0;

    /// <summary>Who was a member once and is none any more.</summary>
    public Func<NodeId, bool> WasRemoved { get; init; } = static _ => false;

    /// <summary>Called where this node was refused, or has refused a node that it doesn't know: who the members are may have changed. Any thread: post and go.</summary>
    public Action Doubt { get; init; } = static () => { };

    /// <summary>Whose data directory was met before.</summary>
    public KnownDirectories Known { get; init; } = new(null);
}
