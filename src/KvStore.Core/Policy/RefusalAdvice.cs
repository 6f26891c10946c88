namespace KvStore.Core.Policy;

/// <summary>
/// What somebody who was refused can do instead, read off <see cref="PartitionPolicy"/>: nothing is advised that the table would refuse as well.
/// </summary>
public static class RefusalAdvice
{
    /// <summary>Sentences for people.</summary>
    /// <param name="mode">How the keyspace is set.</param>
    /// <param name="regime">The shard's.</param>
    /// <param name="majority">Whether a majority is reached.</param>
    /// <param name="request">What was refused.</param>
    /// <param name="decision">How.</param>
    public static string For(KeyspaceMode mode, ServingRegime regime, bool majority, RequestClass request, PolicyDecision decision) => decision switch
    {
        PolicyDecision.RefuseNoQuorum when regime == ServingRegime.Open => "Read with level eventual instead of quorum, or ask a node on the side with a majority.",
        PolicyDecision.RefuseNoQuorum => $"Ask a node on the side with a majority{(IsRead(request) ? ", or read with level eventual if an old answer will do" : "")}. {Otherwise(mode)}",
        PolicyDecision.RefuseSwitching => "Send it again in a moment; reads with level eventual are answered meanwhile.",
        PolicyDecision.RefuseProvisional => $"Ask a node on the side with a majority, or ask for less: {Provisionally(mode, regime, majority)} served provisionally here.",
        PolicyDecision.RefuseNotOffered => NotOffered(regime, request),
        _ => "",
    };

    private static bool IsRead(RequestClass request) => request <= RequestClass.QuorumRead;

    private static string Otherwise(KeyspaceMode mode) => mode.Partition == PartitionChoice.Adaptive
        ? "If no majority is found soon, this side begins to serve provisionally."
        : "Data that must stay writable on every side belongs in an ap keyspace; a majority may make this one such with 'kv keyspace alter --policy ap'.";

    private static string Provisionally(KeyspaceMode mode, ServingRegime regime, bool majority)
    {
        var served = new List<string>();
        foreach ((RequestClass request, string name) in (ReadOnlySpan<(RequestClass, string)>)[(RequestClass.DefaultRead, "reads without a level"), (RequestClass.Write, "writes without a condition")])
        {
            if (PartitionPolicy.Decide(mode, regime, majority, request) == PolicyDecision.ServeProvisionally)
            {
                served.Add(name);
            }
        }

        return string.Join(" and ", served) + " are";
    }

    private static string NotOffered(ServingRegime regime, RequestClass request) => (regime, request) switch
    {
        (ServingRegime.Open, RequestClass.LinearizableRead) => "An ap keyspace offers the levels eventual, session, bounded and quorum; linearizable needs a cp keyspace.",
        (ServingRegime.Open, RequestClass.StrongWrite) => "An ap keyspace has no strong writes; they need a cp or an adaptive keyspace.",
        (ServingRegime.Open, RequestClass.Transaction) =>
            "A transaction needs one order of all writes, which an ap keyspace does not have; write the keys one by one, or use a cp or an adaptive keyspace.",
        (ServingRegime.Open, _) =>
            "Conditional writes need one order of all writes, which an ap keyspace does not have; write in context of what you read, or use a cp keyspace.",
        (_, RequestClass.QuorumRead) => "A cp keyspace offers the levels linearizable, session, bounded and eventual; quorum is for ap keyspaces.",
        _ => "Writes in context are for ap keyspaces; in a cp keyspace use if-version.",
    };
}
