namespace KvStore.Client.Operations;

/// <summary>Failures in words: what happened, and what to do next.</summary>
internal static class Failure
{
    public static KvException Of(KvOperation operation, KvCode code, string? reason, bool unknown)
    {
        string what = reason is { Length: > 0 } ? reason : Describe(code);
        string tried = operation.Attempts switch
        {
            0 => "never sent",
            1 => $"1 attempt, node {operation.LastNode}",
            _ => $"{operation.Attempts} attempts, last node {operation.LastNode}",
        };
        string message = $"{operation.Name} in keyspace \"{operation.Keyspace}\": {what.TrimEnd('.')} ({code}, {Phase(operation.Phase)}, {tried}). {Advice(code, operation.IsWrite, unknown)}";
        return new KvException(message, code, operation.Phase, unknown, operation.LastNode, operation.Attempts)
        {
            Missing = code == KvCode.NoQuorum && operation.LastMissing is { } missing ? [.. missing.Select(m => new KvMissingReplica(m.Node, TimeSpan.FromMilliseconds(m.ForMs)))] : [],
        };
    }

    public static string Describe(KvCode code) => code switch
    {
        KvCode.NoLeader => "the shard has no leader",
        KvCode.NoQuorum => "too few replicas can be reached for a majority",
        KvCode.ProvisionalRefused => "only replicas without a majority can be reached, and what was asked can't be answered provisionally",
        KvCode.OverlayFull => "too many provisional writes wait to be merged",
        KvCode.Switching => "the keyspace is changing its mode",
        KvCode.Overloaded => "too many operations are under way to this node",
        KvCode.UnknownKeyspace => "there is no keyspace of this name",
        KvCode.DeadlineExceeded => "the deadline passed",
        KvCode.ShuttingDown => "shutting down",
        KvCode.Unavailable => "no node could be reached",
        KvCode.SessionBehind => "no replica that could be asked has what the session has seen",
        KvCode.TooStale => "no replica that could be asked is known to be fresh enough",
        KvCode.SessionLost => "a write that the session has seen was lost",
        _ => $"refused with {code}",
    };

    private static string Phase(KvPhase phase) => phase switch
    {
        KvPhase.Queued => "while queued in the client",
        KvPhase.Connecting => "while connecting",
        KvPhase.Sent => "sent and not answered",
        _ => "answered by the server",
    };

    public static string Advice(KvCode code, bool isWrite, bool unknown)
    {
        if (unknown)
        {
            return "The write may have happened or may yet happen: read the key before writing again.";
        }

        string safe = isWrite ? "The write had no effect" : "Nothing was changed";
        string next = code switch
        {
            KvCode.Overloaded => "send less at once, or raise MaxInFlightPerNode",
            KvCode.NoQuorum => "restore the connection to the other replicas, or read with level eventual",
            KvCode.ProvisionalRefused => "restore the connection to the other replicas, or ask for less: reads at the default level and writes without a condition are served provisionally",
            KvCode.OverlayFull => "restore the connection to the other replicas, so that they are merged",
            KvCode.UnknownKeyspace => "create the keyspace or check its name",
            KvCode.LevelNotOffered => "choose a read level or condition that the keyspace's policy offers",
            KvCode.InvalidArgument or KvCode.TooLarge => "correct the request",
            KvCode.DiskLow => "free disk space on the node",
            KvCode.Unavailable => "check the endpoints and that the nodes run",
            KvCode.Unsupported => "check the endpoints and the nodes' version",
            KvCode.ClockSkew => "set the clocks of the nodes right (NTP); 'kv cluster status' shows them",
            KvCode.TooManySiblings => "read the siblings and write the resolved value in their context",
            KvCode.SessionBehind => "restore the connection between the replicas and retry, or begin a new session and accept what the replica has",
            KvCode.TooStale => "restore the connection between the replicas, allow a larger staleness, or read with level eventual",
            KvCode.SessionLost => "read what is there and go on with a new session",
            KvCode.DeadlineExceeded => "retry, or allow a longer timeout",
            _ => "it is safe to retry",
        };
        return $"{safe}; {next}.";
    }
}
