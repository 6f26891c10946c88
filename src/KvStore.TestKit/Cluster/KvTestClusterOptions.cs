namespace KvStore.TestKit;

/// <summary>What kind of cluster a test wants. The defaults suit a busy two-core machine: slower heartbeats and elections than in production.</summary>
public sealed record KvTestClusterOptions
{
    /// <summary>How many nodes, 1 to 9.</summary>
    public int Nodes { get; init; } = 3;

    /// <summary>Keep everything in memory: faster to start, but a killed node comes back empty. Default: write-ahead log and RocksDB in a temporary directory.</summary>
    public bool InMemory { get; init; }

    /// <summary>Give each node an HTTP/1.1 face too (REST, health, metrics); <see cref="KvTestNode.HttpAddress"/> says where.</summary>
    public bool Http { get; init; }

    /// <summary>Between heartbeats of nodes and of Raft leaders.</summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>A follower stands for election after a silence of at least this.</summary>
    public TimeSpan ElectionTimeoutMin { get; init; } = TimeSpan.FromMilliseconds(1_000);

    /// <summary>A follower stands for election after a silence of at most this.</summary>
    public TimeSpan ElectionTimeoutMax { get; init; } = TimeSpan.FromMilliseconds(2_000);

    /// <summary>Memory for each node's table of objects, in bytes; small values make a test read from the disk.</summary>
    public long TableBytes { get; init; } = 64L << 20;

    /// <summary>Recent changes that each node keeps for watches, in bytes: small values make slow readers fall behind. 0: nothing can be watched.</summary>
    public long WatchWindowBytes { get; init; } = 16L << 20;

    /// <summary>Where the nodes' data goes. Default: a new temporary directory, deleted at the end.</summary>
    public string? Directory { get; init; }

    /// <summary>The longest that any Wait... method waits.</summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Receives the nodes' log lines; for finding out why a test failed. Default: nobody.</summary>
    public Action<string>? Log { get; init; }
}
