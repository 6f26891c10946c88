using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>Gathers the answers of one replica until the loop takes them, and words its refusals. Every answer carries the shard's epoch and regime.</summary>
internal sealed class CompletionSink(ShardDescriptor descriptor, RegimeState regimes, PeerReachability peers, ReplicaClock clock, List<Completion> output)
{
    /// <summary>What the policy says to a request, as things stand.</summary>
    public PolicyDecision Decide(RequestClass request) => PartitionPolicy.Decide(!regimes.IsOrdered, peers.Reachable, peers.Configured, request);

    public bool IsReachable(NodeId node) => peers.IsReachable(node);

    public void Add(Completion completion)
    {
        completion.Epoch = regimes.Epoch;
        completion.Regime = regimes.Shown;
        output.Add(completion);
    }

    /// <summary>A definite refusal: it had no effect and never will.</summary>
    public void Refuse(in ClientOperation operation, RefusalCode code, string reason, NodeId leader = default) =>
        Add(new Completion { Handle = operation.Handle, Outcome = Outcome.NotDone, Code = code, Reason = reason, LeaderHint = leader });

    /// <summary>A request of an earlier epoch of which nothing is remembered. It is not executed; a client that had tried before can't know whether that attempt was (C6).</summary>
    public void RefuseForEpoch(in ClientOperation operation) =>
        Refuse(operation, RefusalCode.StaleEpoch, "The keyspace has changed its mode since the request was first tried, and nothing of it is remembered here; if it was tried before, read the key to see.");

    public void Unknown(ulong handle, RefusalCode code, string reason)
    {
        if (handle != 0)
        {
            Add(new Completion { Handle = handle, Outcome = Outcome.Unknown, Code = code, Reason = reason });
        }
    }

    /// <summary>Refuses for want of a majority, and says who is missing and what still works.</summary>
    public void RefuseForQuorum(in ClientOperation operation)
    {
        string still = regimes.IsOrdered
            ? "Ask a node on the majority's side, or read with level eventual if a stale answer will do."
            : "Read with level eventual instead of quorum.";
        Refuse(
            operation,
            RefusalCode.NoQuorum,
            $"Only {peers.Reachable} of the shard's {peers.Configured} replicas can be reached from {descriptor.Self.Node}; missing: {peers.DescribeMissing(clock.NowMs)}. {still}");
    }
}
