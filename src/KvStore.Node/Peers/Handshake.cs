using Grpc.Core;
using KvStore.Contracts;
using KvStore.Contracts.V1;
using KvStore.Core.Identity;

namespace KvStore.Node.Peers;

/// <summary>What nodes tell each other when a stream begins, and who is let in.</summary>
internal static class Handshake
{
    public static Hello Hello(PeerIdentity self, NodeId to, Lane lane) => new()
    {
        ClusterId = self.ClusterId,
        Node = self.Node.Value,
        Incarnation = self.Incarnation,
        ProtocolVersion = KvLimits.ProtocolVersion,
        Lane = lane,
        ToNode = to.Value,
        Directory = self.Directory,
        Boot = self.Boot,
        Generation = self.Generation,
        DurableBatch = self.DurableBatch(),
    };

    /// <summary>The node that says hello, when it may come in.</summary>
    /// <exception cref="RpcException">FAILED_PRECONDITION: it is a stranger; the detail says why in one sentence.</exception>
    public static NodeId Admit(Hello? hello, PeerIdentity self, Func<NodeId, bool> isMember)
    {
        if (Refusal(hello, self, isMember) is { } sentence)
        {
            throw new RpcException(new Status(StatusCode.FailedPrecondition, sentence));
        }

        var node = new NodeId(hello!.Node);
        return self.Known.Refusal(node, hello) is { } stranger ? throw new RpcException(new Status(StatusCode.FailedPrecondition, stranger)) : node;
    }

    private static string? Refusal(Hello? hello, PeerIdentity self, Func<NodeId, bool> isMember) => hello switch
    {
        null => "The first message of a stream between nodes must be a Hello.",
        _ when hello.ProtocolVersion != KvLimits.ProtocolVersion =>
            $"Node {self.Node.Value} speaks version {KvLimits.ProtocolVersion} of the peer protocol, not version {hello.ProtocolVersion}: run the same release on both.",
        _ when hello.ClusterId != self.ClusterId =>
            $"Node {self.Node.Value} belongs to cluster '{self.ClusterId}', not to '{hello.ClusterId}': check the cluster id and the members of node {hello.Node}.",
        _ when hello.ToNode != self.Node.Value =>
            $"This is node {self.Node.Value}, not node {hello.ToNode}: check the addresses in the members of node {hello.Node}.",
        _ when hello.Node == self.Node.Value =>
            $"Another process calls itself node {hello.Node} too: every node needs an id of its own.",
        _ when hello.Node is > 0 and <= NodeId.Max && self.WasRemoved(new NodeId(hello.Node)) =>
            $"Node {hello.Node} was removed from cluster '{self.ClusterId}', and its id is never used again: stop it.",
        _ when hello.Node is 0 or > NodeId.Max || !isMember(new NodeId(hello.Node)) => Unknown(hello.Node, self),
        _ => null,
    };

    /// <summary>It may have been added a moment ago, and this node has not heard of it yet.</summary>
    private static string Unknown(uint node, PeerIdentity self)
    {
        self.Doubt();
        return $"Node {node} is not a member of cluster '{self.ClusterId}' as node {self.Node.Value} knows it: 'kv member add' takes nodes in.";
    }
}
