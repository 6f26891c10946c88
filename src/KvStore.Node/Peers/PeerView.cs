using KvStore.Core.Detection;
using KvStore.Core.Identity;
using Reachability = KvStore.Contracts.V1.Reachability;

namespace KvStore.Node.Peers;

/// <summary>One peer as this node hears it.</summary>
/// <param name="Link">What the detector thinks of the way here and of the way there.</param>
/// <param name="Phi">Suspicion: -log10 of the chance that the peer is alive.</param>
/// <param name="SinceHeard">Since the last heartbeat, or since this node began to listen.</param>
/// <param name="RoundTripMs">Milliseconds, smoothed; 0 until measured.</param>
/// <param name="ClockSkewMs">The peer's wall clock minus this node's, in milliseconds, give or take half the round trip; not a number until measured.</param>
/// <param name="Incarnation">The peer's, as its last handshake said; 0 until then.</param>
/// <param name="Boot">Counts the streams on which the peer has greeted this node; 0 until the first. No process lives through a change of it without a broken connection: who relies on the peer being the same looks again.</param>
public sealed record PeerLiveness(
    NodeId Node, string Address, LinkState Link, double Phi, TimeSpan SinceHeard, double RoundTripMs, double ClockSkewMs, ulong Incarnation, ulong Boot)
{
    /// <summary>By what arrives here only; <see cref="HearsUs"/> is the other direction.</summary>
    public Reachability Reachability => Link.Hearing switch
    {
        Liveness.Up => Reachability.Up,
        Liveness.Down => Reachability.Down,
        _ => Reachability.Suspect,
    };

    /// <summary>What this node's heartbeats tell the peer.</summary>
    public bool IsHeard => Link.Hearing is Liveness.Up or Liveness.Suspect;

    /// <summary>Whether the peer, as last heard, hears this node; true as long as it can't have had the time to say so.</summary>
    public bool HearsUs => (Link.HeardByPeer || Link.InGrace) && Link.Hearing != Liveness.Down;
}

/// <summary>All peers at one moment. Immutable: the heartbeat thread publishes a new one each round, twenty times a second on an idle node too, so it is made to be cheap: a cluster has few nodes, and looking through them is quick.</summary>
public sealed class PeerView(IEnumerable<PeerLiveness> peers)
{
    public static readonly PeerView Empty = new([]);

    private readonly PeerLiveness[] _peers = [.. peers];

    public IReadOnlyList<PeerLiveness> Peers => _peers;

    public PeerLiveness? Find(NodeId node) => Array.Find(_peers, peer => peer.Node == node);

    /// <summary>Unspecified for a stranger and for the node itself.</summary>
    public Reachability Of(NodeId node) => Find(node)?.Reachability ?? Reachability.Unspecified;
}
