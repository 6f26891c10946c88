using KvStore.Contracts.Pipeline;
using KvStore.Core.Identity;
using KvStore.Node.Peers;

namespace KvStore.Node.Loops;

/// <summary>Another node that forwarded an operation; its results leave with the loop's next frame.</summary>
internal sealed class PeerOrigin(PeerOutbox outbox, NodeId node) : OperationOrigin
{
    public override void Deliver(ulong callId, ref WireResult result)
    {
        // A result that can't be queued is lost; the forwarding node answers "unknown" at the deadline or when the stream breaks.
        result.CallId = 0;
        outbox.SendResult(node, callId, result);
    }

    /// <summary>Results are delivered before the loop flushes its outbox, except when a loop has failed: then this hands them over.</summary>
    public override void Kick() => outbox.Flush();
}
