namespace KvStore.Client.Connections;

/// <summary>Whether a connection took an operation.</summary>
internal enum Submission
{
    /// <summary>It did, and owns it now.</summary>
    Accepted,

    /// <summary>A bound on what is under way would be exceeded.</summary>
    Full,

    /// <summary>There is no connection, and it is too early to try again.</summary>
    Unavailable,
}

/// <summary>How far an attempt had come when it was lost.</summary>
internal enum AttemptLoss
{
    /// <summary>The connection never stood: certainly not sent.</summary>
    NeverConnected,

    /// <summary>Withdrawn from the outbound buffer: certainly not sent.</summary>
    NeverSent,

    /// <summary>Handed to the connection: it may have arrived.</summary>
    Sent,
}

/// <summary>A read that is slow where it is under way; it stays there. What is said of it is a copy.</summary>
internal readonly record struct SlowRead(IOperationStream Stream, ulong CallId, Contracts.Pipeline.WireOperation Wire, string Keyspace, long DeadlineMs);

/// <summary>An operation whose attempt was lost.</summary>
internal readonly record struct LostAttempt(Operations.KvOperation Operation, AttemptLoss Loss);
