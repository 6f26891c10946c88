using KvStore.Contracts.Pipeline;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Peers;

namespace KvStore.Node.Loops;

/// <summary>Operations that other nodes forwarded to this one: checked like a client's, served or refused, and answered with the loop's next frame to that node.</summary>
internal sealed class IncomingForwards(LoopSet set, ShardLoop loop, LoopReplicas replicas, LoopOperations operations, PeerOutbox outbox, ResultMapper results, ReplicaClock clock)
{
    private readonly Dictionary<NodeId, PeerOrigin> _origins = [];

    /// <summary>Every loop sees every frame, and takes what is its own; what belongs to none is refused by the first.</summary>
    public void Handle(NodeId from, ulong forwardId, in WireOperation wire)
    {
        if (!OperationMapper.TryRoute(wire, set.Router, clock.NowMs, out RoutedOperation routed, out RefusalCode code, out string reason))
        {
            if (loop.Number == 0)
            {
                outbox.SendResult(from, forwardId, results.Refusal(code, reason));
            }

            return;
        }

        if (set.LoopOf(routed.Shard) != loop)
        {
            return;
        }

        routed.CallId = forwardId;

        // Without a replica here the sender has an old map; passing it on from here could go round in circles.
        routed.DeclineForwarding |= replicas.Find(routed.Shard) is null;
        if (!_origins.TryGetValue(from, out PeerOrigin? origin))
        {
            origin = new PeerOrigin(outbox, from);
            _origins.Add(from, origin);
        }

        operations.Submit(origin, ref routed);
    }
}
