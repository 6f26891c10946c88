namespace KvStore.Core.Policy;

/// <summary>What a request asks of a shard, as far as the policy cares.</summary>
public enum RequestClass : byte
{
    LinearizableRead,

    /// <summary>A read that says it will take what the replica has.</summary>
    StaleRead,

    /// <summary>A read that wants a majority of an open shard's replicas.</summary>
    QuorumRead,
    Write,

    /// <summary>A write with a condition on the key's version, which needs one order of all writes.</summary>
    ConditionalWrite,
}

public enum PolicyDecision : byte
{
    Serve,

    /// <summary>Without a majority, where the shard is ordered.</summary>
    RefuseNoQuorum,

    /// <summary>The keyspace never offers this, whatever the network does.</summary>
    RefuseNotOffered,
}

/// <summary>
/// The dial itself, as a pure table: what a replica does with a request, given how its keyspace is set and how many of the shard's replicas it can reach.
/// The regime "open" is what an ap keyspace runs in, "ordered" is what cp runs in.
/// </summary>
/// <remarks>
/// <code>
///                      ordered, majority   ordered, minority   open, majority   open, minority
/// linearizable read    serve               refuse              not offered      not offered
/// stale read           serve               serve               serve            serve
/// quorum read          not offered         not offered         serve            refuse
/// write                serve               refuse              serve            serve (degraded when sync)
/// conditional write    serve               refuse              not offered      not offered
/// </code>
/// </remarks>
public static class PartitionPolicy
{
    /// <param name="open">Whether the shard is in the open regime.</param>
    /// <param name="reachable">How many of the shard's replicas are reachable, this one included.</param>
    /// <param name="configured">How many replicas the shard has.</param>
    public static PolicyDecision Decide(bool open, int reachable, int configured, RequestClass request)
    {
        Invariant.Assert(reachable >= 0 && reachable <= configured);
        bool majority = reachable >= Majority(configured);
        return (open, request) switch
        {
            (_, RequestClass.StaleRead) => PolicyDecision.Serve,
            (false, RequestClass.QuorumRead) => PolicyDecision.RefuseNotOffered,
            (false, _) => majority ? PolicyDecision.Serve : PolicyDecision.RefuseNoQuorum,
            (true, RequestClass.LinearizableRead or RequestClass.ConditionalWrite) => PolicyDecision.RefuseNotOffered,
            (true, RequestClass.QuorumRead) => majority ? PolicyDecision.Serve : PolicyDecision.RefuseNoQuorum,
            (true, _) => PolicyDecision.Serve,
        };
    }

    public static int Majority(int configured) => (configured / 2) + 1;
}
