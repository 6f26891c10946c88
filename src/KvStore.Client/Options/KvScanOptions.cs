namespace KvStore.Client;

/// <summary>How one scan is to be done.</summary>
public sealed record KvScanOptions
{
    /// <summary>How fresh each page must be.</summary>
    public KvReadLevel Level { get; init; }

    /// <summary>Deadline of each page; more than zero, at most 10 minutes. Null: <see cref="KvClientOptions.DefaultTimeout"/>.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Records fetched at once from each shard: 1 to 1,000.</summary>
    public int PageSize { get; init; } = 100;
}
