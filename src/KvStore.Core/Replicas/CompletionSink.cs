using KvStore.Core.Identity;
using KvStore.Core.Policy;

namespace KvStore.Core.Replicas;

/// <summary>Gathers the answers of one replica until the loop takes them, and words its refusals. Every answer carries the shard's epoch and regime.</summary>
internal sealed class CompletionSink(ShardDescriptor descriptor, RegimeState regimes, PeerReachability peers, ReplicaClock clock, List<Completion> output)
{
    /// <summary>What the policy says to a request, as things stand.</summary>
    public PolicyDecision Decide(RequestClass request) => PartitionPolicy.Decide(regimes.Current.Mode, regimes.Serving, peers.HasMajority, request);

    /// <summary>Whether a write that an open shard has taken may be acknowledged by fewer replicas than it wants.</summary>
    public bool MayDegrade => PartitionPolicy.Decide(regimes.Current.Mode, ServingRegime.Open, peers.HasMajority, RequestClass.Write) == PolicyDecision.ServeDegraded;

    public bool IsReachable(NodeId node) => peers.IsReachable(node);

    public void Add(Completion completion)
    {
        completion.Epoch = regimes.Epoch;
        completion.Regime = completion.Regime == Regime.None ? regimes.Shown : completion.Regime;
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

    /// <summary>Whether the policy lets the operation pass; if it doesn't, the operation is refused here, with what is still possible and, where that is the reason, who is missing and since when.</summary>
    public bool Admit(in ClientOperation operation, RequestClass request)
    {
        PolicyDecision decision = Decide(request);
        switch (decision)
        {
            case PolicyDecision.RefuseNotOffered:
                Refuse(operation, RefusalCode.LevelNotOffered, AdviceFor(request, decision));
                return false;
            case PolicyDecision.RefuseNoQuorum:
                RefuseForQuorum(operation, request, decision);
                return false;
            case PolicyDecision.RefuseSwitching:
                Refuse(operation, RefusalCode.Switching, AdviceFor(request, decision));
                return false;
            case PolicyDecision.Serve or PolicyDecision.ServeDegraded:
                return true;
            default:
                Invariant.Assert(false, "decisions of regimes that this replica can't be in");
                return false;
        }
    }

    private void RefuseForQuorum(in ClientOperation operation, RequestClass request, PolicyDecision decision) => Add(new Completion
    {
        Handle = operation.Handle,
        Outcome = Outcome.NotDone,
        Code = RefusalCode.NoQuorum,
        Missing = peers.Missing(clock.NowMs),
        Reason = $"Only {peers.Reachable} of the shard's {peers.Configured} replicas can be reached from {descriptor.Self.Node}; missing: {peers.DescribeMissing(clock.NowMs)}. {AdviceFor(request, decision)}",
    });

    private string AdviceFor(RequestClass request, PolicyDecision decision) => RefusalAdvice.For(regimes.Current.Mode, regimes.Serving, peers.HasMajority, request, decision);
}
