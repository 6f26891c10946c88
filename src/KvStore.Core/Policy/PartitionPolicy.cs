namespace KvStore.Core.Policy;

/// <summary>How a replica's shard works at the moment, as far as the policy cares.</summary>
public enum ServingRegime : byte
{
    /// <summary>The log orders all writes.</summary>
    Ordered,

    /// <summary>Every replica takes writes by itself.</summary>
    Open,

    /// <summary>Between two regimes: what the one has taken is being settled before the other begins.</summary>
    Closing,

    /// <summary>An adaptive shard's replica that has been without a majority for longer than its keyspace wants to wait.</summary>
    Provisional,
}

/// <summary>What a request asks of a shard, as far as the policy cares.</summary>
public enum RequestClass : byte
{
    /// <summary>A read without a stated level: the best that the keyspace gives where it is asked. Linearizable in cp, as it stands in ap.</summary>
    DefaultRead,
    LinearizableRead,

    /// <summary>A read that says it will take what the replica has. What else it asks for (a session, a bound on the age) the replica checks on top.</summary>
    StaleRead,

    /// <summary>A read that wants a majority of an open shard's replicas.</summary>
    QuorumRead,
    Write,

    /// <summary>A write that must not be taken provisionally.</summary>
    StrongWrite,

    /// <summary>A write with a condition on the key's version, which needs one order of all writes.</summary>
    ConditionalWrite,

    /// <summary>A write that supersedes what a version saw, and nothing else, which needs keys that may have siblings.</summary>
    ContextWrite,

    /// <summary>Comparisons and writes of several keys, which need one order of all writes.</summary>
    Transaction,
}

public enum PolicyDecision : byte
{
    Serve,

    /// <summary>Acknowledged by fewer replicas than the keyspace's replication wants, and the answer says so.</summary>
    ServeDegraded,

    /// <summary>Answered by a side without a majority, marked as such, and merged through the log when the network heals.</summary>
    ServeProvisionally,

    /// <summary>For want of a majority.</summary>
    RefuseNoQuorum,

    /// <summary>The keyspace never offers this, whatever the network does.</summary>
    RefuseNotOffered,

    /// <summary>The shard changes its regime. The same request may be sent again in a moment.</summary>
    RefuseSwitching,

    /// <summary>Asks for more than a provisional answer is worth.</summary>
    RefuseProvisional,
}

/// <summary>
/// The dial itself, as a pure table: what a replica does with a request, given how its keyspace is set, in which regime its shard is, and whether it reaches a majority of the shard's replicas.
/// Both engines ask it for every request, and so does whoever words a refusal. docs/consistency.md shows it; a test holds that page to it.
/// </summary>
/// <remarks>
/// The failure detector, which says who is reached, only decides how soon a refusal comes. What makes it necessary is consensus: an isolated leader can't commit and can't confirm a read,
/// whatever is believed here.
/// </remarks>
public static class PartitionPolicy
{
    /// <param name="mode">How the keyspace is set.</param>
    /// <param name="regime">The shard's, as this replica has applied it.</param>
    /// <param name="majority">Whether a majority of the shard's voters is reached, this one included.</param>
    /// <param name="request">What is asked.</param>
    public static PolicyDecision Decide(KeyspaceMode mode, ServingRegime regime, bool majority, RequestClass request) => regime switch
    {
        _ when request == RequestClass.StaleRead => regime == ServingRegime.Provisional ? PolicyDecision.ServeProvisionally : PolicyDecision.Serve,
        ServingRegime.Ordered => InOrdered(majority, request),
        ServingRegime.Open => InOpen(mode.Replication, majority, request),
        ServingRegime.Closing => PolicyDecision.RefuseSwitching,
        _ => InProvisional(mode.Partition, request),
    };

    public static int Majority(int configured) => (configured / 2) + 1;

    private static PolicyDecision InOrdered(bool majority, RequestClass request) => request switch
    {
        RequestClass.QuorumRead or RequestClass.ContextWrite => PolicyDecision.RefuseNotOffered,
        _ => majority ? PolicyDecision.Serve : PolicyDecision.RefuseNoQuorum,
    };

    private static PolicyDecision InOpen(Replication replication, bool majority, RequestClass request) => request switch
    {
        RequestClass.LinearizableRead or RequestClass.ConditionalWrite or RequestClass.StrongWrite or RequestClass.Transaction => PolicyDecision.RefuseNotOffered,
        RequestClass.QuorumRead => majority ? PolicyDecision.Serve : PolicyDecision.RefuseNoQuorum,
        RequestClass.Write or RequestClass.ContextWrite when replication == Replication.Sync && !majority => PolicyDecision.ServeDegraded,
        _ => PolicyDecision.Serve,
    };

    private static PolicyDecision InProvisional(PartitionChoice partition, RequestClass request) => request switch
    {
        RequestClass.QuorumRead or RequestClass.ContextWrite => PolicyDecision.RefuseNotOffered,

        // Only an adaptive keyspace has consented to provisional service.
        _ when partition != PartitionChoice.Adaptive => PolicyDecision.RefuseNoQuorum,
        RequestClass.DefaultRead or RequestClass.Write => PolicyDecision.ServeProvisionally,
        _ => PolicyDecision.RefuseProvisional,
    };
}
