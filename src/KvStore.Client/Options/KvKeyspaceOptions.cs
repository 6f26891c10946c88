namespace KvStore.Client;

/// <summary>How this client works with one keyspace. Settings of the keyspace itself are made with <see cref="IKvAdmin.CreateKeyspaceAsync"/>.</summary>
public sealed record KvKeyspaceOptions
{
    /// <summary>The defaults.</summary>
    public static KvKeyspaceOptions Default { get; } = new();

    /// <summary>Makes one value of concurrent ones, whenever a get finds several. Null: gets return the newest, and all of them as siblings. Scans don't resolve.</summary>
    public KvResolver? Resolver { get; init; }

    /// <summary>
    /// Also write what the resolver made in the place of the values that it saw, and of nothing else. Reads that find a conflict then take as long as a write. Readers that do so at the same time may write equal values beside each
    /// other; the next read settles those. A write-back that is refused or unknown does not fail the read; see <see cref="KvEntry{T}.WrittenBack"/>.
    /// </summary>
    public bool WriteBackResolved { get; init; }
}
