using KvStore.Core.Identity;

namespace KvStore.Node.Peers;

/// <summary>Where a member of the cluster is reached, "host:port".</summary>
public readonly record struct PeerAddress(NodeId Node, string Address)
{
    public override string ToString() => $"{Node}={Address}";
}

/// <summary>Who this process is, as it says in every handshake.</summary>
/// <param name="ClusterId">Nodes of another cluster are refused.</param>
/// <param name="Node">This node.</param>
/// <param name="Incarnation">One life of the data directory: peers see by it that a node came back without what it had.</param>
public sealed record PeerIdentity(string ClusterId, NodeId Node, ulong Incarnation);
