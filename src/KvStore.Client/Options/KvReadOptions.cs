namespace KvStore.Client;

/// <summary>How one read is to be done.</summary>
public sealed record KvReadOptions
{
    /// <summary>How fresh the answer must be.</summary>
    public KvReadLevel Level { get; init; }

    /// <summary>The session that the read belongs to; the level is then <see cref="KvReadLevel.Session"/> unless another is stated, which is held to the session all the same.</summary>
    public KvSession? Session { get; init; }

    /// <summary>How old the answer may be, 1 ms to 10 minutes; the level is then <see cref="KvReadLevel.Bounded"/> unless another is stated.</summary>
    public TimeSpan? MaxStaleness { get; init; }

    /// <summary>Which replica answers a linearizable read of a cp/sync keyspace.</summary>
    public KvReadFrom ReadFrom { get; init; }

    /// <summary>
    /// Adaptive keyspaces: refuse rather than answer provisionally, from a side without a majority. In ap keyspaces it is always refused, in cp keyspaces every answer is strong.
    /// </summary>
    public bool RequireStrong { get; init; }

    /// <summary>One deadline over connecting, queueing and all attempts; more than zero, at most 10 minutes. Null: <see cref="KvClientOptions.DefaultTimeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Whether to go on trying until the deadline when no replica has a quorum. Null: <see cref="KvClientOptions.RetryNoQuorumUntilDeadline"/>.</summary>
    public bool? RetryNoQuorumUntilDeadline { get; init; }
}
