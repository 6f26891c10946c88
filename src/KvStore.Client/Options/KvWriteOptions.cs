namespace KvStore.Client;

/// <summary>How one write is to be done.</summary>
public sealed record KvWriteOptions
{
    /// <summary>
    /// Adaptive keyspaces: refuse rather than answer provisionally, from a side without a majority. In ap keyspaces it is always refused, in cp keyspaces every answer is strong.
    /// </summary>
    public bool RequireStrong { get; init; }

    /// <summary>The session that the write belongs to: it is made behind all that the session has seen, and its reads see it.</summary>
    public KvSession? Session { get; init; }

    /// <summary>One deadline over connecting, queueing and all attempts; more than zero, at most 10 minutes. Null: <see cref="KvClientOptions.DefaultTimeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>
    /// Puts, and increments that create a counter: how long the value lives, 1 ms to 10 years. Null: the keyspace's default; <see cref="System.Threading.Timeout.InfiniteTimeSpan"/>: for ever, whatever that
    /// default is. A put without one over a value that would expire makes it last.
    /// </summary>
    public TimeSpan? Ttl { get; init; }

    /// <summary>Whether to go on trying until the deadline when no replica has a quorum. Null: <see cref="KvClientOptions.RetryNoQuorumUntilDeadline"/>.</summary>
    public bool? RetryNoQuorumUntilDeadline { get; init; }
}
