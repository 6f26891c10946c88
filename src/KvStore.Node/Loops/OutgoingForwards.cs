using KvStore.Contracts.Pipeline;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Node.Peers;

namespace KvStore.Node.Loops;

/// <summary>
/// Operations that this loop sent on to the node that can serve them. Each is answered once: by that node, or here when the connection broke, the node can't be reached any more or the deadline passed;
/// then a write is unknown.
/// </summary>
internal sealed class OutgoingForwards(int loop, int loops, PeerOutbox outbox, LoopAnswers answers, ResultMapper results, ReplicaClock clock)
{
    private readonly ForwardTable _table = new(loop, loops);

    /// <summary>Whether one waits for its answer.</summary>
    public bool Any => _table.Count > 0;

    /// <param name="origin">Who asked.</param>
    /// <param name="routed">The operation.</param>
    /// <param name="node">Who can serve it.</param>
    /// <param name="isLast">True: that node serves it or refuses. False: it may pass it on, once.</param>
    public void Send(OperationOrigin origin, in RoutedOperation routed, NodeId node, bool isLast)
    {
        if (_table.Count >= ForwardTable.MaxInFlight)
        {
            answers.Deliver(origin, routed.CallId, results.Refusal(RefusalCode.Overloaded, "Too many operations are being forwarded; slow down and try again."));
            return;
        }

        bool isWrite = routed.Operation.IsWrite;
        ulong id = _table.Add(new Forwarded(origin, routed.CallId, node, isWrite, routed.Operation.DeadlineMs));
        WireOperation wire = OperationMapper.ToWire(routed, isLast, clock.NowMs);
        if (!outbox.SendOperation(node, id, wire))
        {
            _table.TryTake(id, out _);
            answers.Deliver(origin, routed.CallId, results.Refusal(RefusalCode.NoLeader, $"The key is served by {node}, which can't be reached from here at the moment.", leader: node));
        }
    }

    /// <summary>The node that served has answered. A result that comes late, twice, or for another loop is dropped.</summary>
    public void OnResult(ulong forwardId, in WireResult result)
    {
        if (_table.Owns(forwardId) && _table.TryTake(forwardId, out Forwarded forwarded))
        {
            answers.Deliver(forwarded.Origin, forwarded.CallId, result);
        }
    }

    public void OnConnectionLost(NodeId node) =>
        Lose(_table.TakeLost(node), RefusalCode.LeadershipLost, $"The connection to {node}, where the operation was forwarded, broke.");

    /// <summary>A cut link breaks no stream: without this, what was forwarded would wait for its deadline.</summary>
    public void OnUnreachable(NodeId node) =>
        Lose(_table.TakeLost(node), RefusalCode.LeadershipLost, $"{node}, where the operation was forwarded, can no longer be reached.");

    /// <summary>Once per tick.</summary>
    public void Expire()
    {
        if (_table.Count > 0)
        {
            Lose(_table.TakeExpired(clock.NowMs), RefusalCode.DeadlineExceeded, "The deadline passed before the node that serves the key answered.");
        }
    }

    public void OnStop() => Lose(_table.TakeAll(), RefusalCode.ShuttingDown, "The node is shutting down.");

    private void Lose(List<Forwarded> lost, RefusalCode code, string reason)
    {
        foreach (Forwarded forwarded in lost)
        {
            answers.Deliver(forwarded.Origin, forwarded.CallId, results.Refusal(code, reason, unknown: forwarded.IsWrite));
        }
    }
}
