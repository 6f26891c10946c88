namespace KvStore.Client;

/// <summary>How one scan is to be done.</summary>
public sealed record KvScanOptions
{
    /// <summary>How fresh each page must be.</summary>
    public KvReadLevel Level { get; init; }

    /// <summary>The session that the scan belongs to: each page comes from a replica that has what the session has seen of its shard.</summary>
    public KvSession? Session { get; init; }

    /// <summary>How old each page may be, 1 ms to 10 minutes; the level is then <see cref="KvReadLevel.Bounded"/> unless another is stated.</summary>
    public TimeSpan? MaxStaleness { get; init; }

    /// <summary>Deadline of each page; more than zero, at most 10 minutes. Null: <see cref="KvClientOptions.DefaultTimeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Records fetched at once from each shard: 1 to 1,000.</summary>
    public int PageSize { get; init; } = 100;
}
