namespace KvStore.Client;

/// <summary>How one write is to be done.</summary>
public sealed record KvWriteOptions
{
    /// <summary>The session that the write belongs to: it is made behind all that the session has seen, and its reads see it.</summary>
    public KvSession? Session { get; init; }

    /// <summary>One deadline over connecting, queueing and all attempts; more than zero, at most 10 minutes. Null: <see cref="KvClientOptions.DefaultTimeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Whether to go on trying until the deadline when no replica has a quorum. Null: <see cref="KvClientOptions.RetryNoQuorumUntilDeadline"/>.</summary>
    public bool? RetryNoQuorumUntilDeadline { get; init; }
}
