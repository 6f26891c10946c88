using KvStore.Node.Peers;
using KvStore.Simulator.Engine;

namespace KvStore.Simulator.Clusters;

/// <summary>The connections of one process to and from its peers, in the place of the production mesh.</summary>
internal sealed class NodeLinks : IPeerLaneDirectory
{
    private const int QueueBytes = 1 << 20;

    private readonly List<PeerStream> _streams = [];
    private readonly Dictionary<(int From, bool IsBulk), ulong> _accepted = [];

    public NodeLinks(ClusterNode owner, IReadOnlyList<ClusterNode> nodes, TimeProvider time)
    {
        List<PeerLanes> lanes = [];
        foreach (ClusterNode peer in nodes.Where(node => node != owner))
        {
            var frames = new PeerLane(QueueBytes, Pool, time);
            var bulk = new PeerLane(QueueBytes, Pool, time);
            lanes.Add(new PeerLanes(peer.Id, frames, bulk));
            _streams.Add(new PeerStream(owner, peer, frames, isBulk: false));
            _streams.Add(new PeerStream(owner, peer, bulk, isBulk: true));
        }

        Lanes = lanes;
    }

    public IReadOnlyList<PeerLanes> Lanes { get; }

    public OutboundBufferPool Pool { get; } = new();

    public void CountStrangerDropped() => throw new SimulationFailedException("KnownMembers", "A message was sent to a node that is no member.");

    public void Start() => _streams.ForEach(stream => stream.Connect());

    public void Pump() => _streams.ForEach(stream => stream.Pump());

    public void End() => _streams.ForEach(stream => stream.End());

    /// <summary>The newest connection of a peer's lane takes the place of an older one.</summary>
    public void Accept(int from, bool isBulk, ulong connection)
    {
        ulong known = _accepted.GetValueOrDefault((from, isBulk));
        _accepted[(from, isBulk)] = Math.Max(known, connection);
    }

    public bool IsAccepted(int from, bool isBulk, ulong connection) => _accepted.GetValueOrDefault((from, isBulk)) == connection;

    /// <summary>Ends a connection from here; the peer learns it with its next ping.</summary>
    public void Forget(int from, bool isBulk, ulong connection)
    {
        if (IsAccepted(from, isBulk, connection))
        {
            _accepted[(from, isBulk)] = connection + 1;
        }
    }
}
