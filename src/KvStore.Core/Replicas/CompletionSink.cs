using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>Gathers the answers of one replica until the loop takes them, and words its refusals. Every answer carries the shard's epoch and regime.</summary>
internal sealed class CompletionSink(ShardDescriptor descriptor, Regime regime, PeerReachability peers, ReplicaClock clock, List<Completion> output)
{
    /// <summary>What the policy says to a request, as things stand.</summary>
    public PolicyDecision Decide(RequestClass request) => PartitionPolicy.Decide(regime == Regime.Open, peers.Reachable, peers.Configured, request);

    public bool IsReachable(NodeId node) => peers.IsReachable(node);

    public void Add(Completion completion)
    {
        completion.Epoch = descriptor.Epoch;
        completion.Regime = completion.Regime == Regime.None ? regime : completion.Regime;
        output.Add(completion);
    }

    /// <summary>A definite refusal: it had no effect and never will.</summary>
    public void Refuse(in ClientOperation operation, RefusalCode code, string reason, NodeId leader = default) =>
        Add(new Completion { Handle = operation.Handle, Outcome = Outcome.NotDone, Code = code, Reason = reason, LeaderHint = leader });

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
        string still = regime == Regime.Ordered
            ? "Ask a node on the majority's side, or read with level eventual if a stale answer will do."
            : "Read with level eventual instead of quorum.";
        Refuse(
            operation,
            RefusalCode.NoQuorum,
            $"Only {peers.Reachable} of the shard's {peers.Configured} replicas can be reached from {descriptor.Self.Node}; missing: {peers.DescribeMissing(clock.NowMs)}. {still}");
    }
}
