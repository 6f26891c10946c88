namespace KvStore.Client;

/// <summary>
/// A client of one cluster: thread-safe, made once and kept. It holds one connection per node, learns of members and leaders by itself and shares its connections among all callers, whose
/// concurrent operations travel together. Make one with <see cref="KvClient.Create(KvClientOptions, Microsoft.Extensions.Logging.ILoggerFactory?)"/> or AddKvStore.
/// </summary>
public interface IKvClient : IAsyncDisposable
{
    /// <summary>The operators' face of the same cluster.</summary>
    IKvAdmin Admin { get; }

    /// <summary>The cluster as last heard; null before the first contact.</summary>
    KvTopology? Topology { get; }

    /// <summary>A keyspace by name. Costs nothing and asks nobody: whether it exists shows with the first operation.</summary>
    /// <param name="name">1 to 64 characters.</param>
    IKvKeyspace Keyspace(string name);

    /// <summary>A keyspace by name, with settings for how this client works with it.</summary>
    /// <param name="name">1 to 64 characters.</param>
    /// <param name="options">For example a resolver of conflicts.</param>
    IKvKeyspace Keyspace(string name, KvKeyspaceOptions options);

    /// <summary>A session that has seen nothing, or one that goes on where another stopped, perhaps in another process. Asks nobody.</summary>
    /// <param name="token">What <see cref="KvSession.Token"/> returned there; null or empty: a new session.</param>
    /// <exception cref="ArgumentException">The text is no token.</exception>
    KvSession CreateSession(string? token = null);

    /// <summary>The cluster as last heard; waits for the first contact, at most <see cref="KvClientOptions.DefaultTimeout"/>.</summary>
    /// <exception cref="KvException">No seed answered in time.</exception>
    ValueTask<KvTopology> GetTopologyAsync(CancellationToken cancellationToken = default);
}
