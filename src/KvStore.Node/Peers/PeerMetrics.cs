using System.Diagnostics.Metrics;
using KvStore.Core.Detection;
using KvStore.Core.Identity;
using KvStore.Node.Loops;

namespace KvStore.Node.Peers;

/// <summary>What the failure detector thinks of each peer, for monitoring. Read when somebody measures, never pushed.</summary>
internal sealed class PeerMetrics : IDisposable
{
    public const string PhiName = "kvstore.peer.phi";

    public const string StateName = "kvstore.peer.state";

    public const string LossesName = "kvstore.peer.losses";

    /// <summary>A peer that has been silent for very long has a phi beyond all scales.</summary>
    private const double MostPhi = 1_000;

    private readonly Meter _meter = new(NodeMetrics.MeterName);

    public PeerMetrics(NodeId self, HeartbeatService heartbeats)
    {
        IEnumerable<Measurement<T>> Each<T>(Func<PeerLiveness, T> value)
            where T : struct => heartbeats.View.Peers.Select(peer => new Measurement<T>(value(peer), new KeyValuePair<string, object?>("node", self.Value), new KeyValuePair<string, object?>("peer", peer.Node.Value)));

        _meter.CreateObservableGauge(PhiName, () => Each(peer => Math.Min(peer.Phi, MostPhi)), "{phi}", "Suspicion of a peer: -log10 of the chance that one which is silent for so long still lives; at most 1,000.");
        _meter.CreateObservableGauge(StateName, () => Each(StateOf), "{state}", "0: the peer counts as reachable; 1: it does, and is suspect; 2: it does not hear this node; 3: it is down.");
        _meter.CreateObservableGauge(LossesName, () => Each(peer => peer.Link.Losses), "{loss}", "Losses of the peer that are not forgiven yet; several together mean that the link comes and goes.");
    }

    public void Dispose() => _meter.Dispose();

    private static int StateOf(PeerLiveness peer) => peer.Link.Hearing == Liveness.Down ? 3 : !peer.Link.Counts ? 2 : peer.Link.Hearing == Liveness.Up ? 0 : 1;
}
