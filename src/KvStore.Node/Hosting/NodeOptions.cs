using KvStore.Node.Peers;

namespace KvStore.Node.Hosting;

public enum StorageEngine : byte
{
    /// <summary>Write-ahead log and RocksDB in the data directory.</summary>
    RocksDb = 0,

    /// <summary>Nothing survives the process: for tests and trials.</summary>
    Memory = 1,
}

public enum LogFormat : byte
{
    Text = 0,

    /// <summary>One compact JSON object a line.</summary>
    Json = 1,
}

/// <summary>Everything a node is told at its start. Checked by <see cref="NodeOptionsValidation"/>; read from flags and variables by <see cref="NodeCommandLine"/>.</summary>
public sealed record NodeOptions
{
    /// <summary>The same on all nodes of a cluster: 1 to 64 of a-z, 0-9, '-', '_', '.'.</summary>
    public string ClusterId { get; init; } = "";

    /// <summary>1 to 65,535, unique in the cluster, never reused for another data directory.</summary>
    public uint NodeId { get; init; }

    /// <summary>0 for the first node under its id, one more each time it was replaced ("kv cluster replace-node" says which): it then begins with an empty data directory.</summary>
    public uint Generation { get; init; }

    /// <summary>The address to listen on: an IP address, "localhost", or "*" for all.</summary>
    public string ListenHost { get; init; } = "127.0.0.1";

    /// <summary>0: any free one.</summary>
    public int Port { get; init; } = 7_001;

    /// <summary>The address of the HTTP/1.1 face (REST, health, metrics), as <see cref="ListenHost"/>. Empty: none.</summary>
    public string HttpHost { get; init; } = "";

    /// <summary>The port of the HTTP/1.1 face; 0: any free one.</summary>
    public int HttpPort { get; init; }

    /// <summary>Where clients and peers reach this node, "host:port". Empty: as in the members, else the address to listen on.</summary>
    public string AdvertisedAddress { get; init; } = "";

    /// <summary>Belongs to one node for life. Not needed with the memory engine.</summary>
    public string DataDirectory { get; init; } = "";

    public StorageEngine Engine { get; init; } = StorageEngine.RocksDb;

    /// <summary>All nodes of the cluster, this one included. Empty: a cluster of this node alone.</summary>
    public IReadOnlyList<PeerAddress> Members { get; init; } = [];

    /// <summary>Members of a running cluster, "host:port", that this node asks whom it belongs to when it starts with an empty data directory: it was added to them before. Instead of <see cref="Members"/>.</summary>
    public IReadOnlyList<string> Join { get; init; } = [];

    /// <summary>
    /// UNSAFE: these nodes are lost for good. Shards that have lost their majority with them go on at this node alone, from what it has. Asks for <see cref="AcceptDataLoss"/>; each shard is recovered once only.
    /// </summary>
    public IReadOnlyList<Core.Identity.NodeId> RecoverWithout { get; init; } = [];

    /// <summary>The operator knows what <see cref="RecoverWithout"/> costs.</summary>
    public bool AcceptDataLoss { get; init; }

    /// <summary>Lets operators cut, delay and disturb this node's links. For tests only.</summary>
    public bool EnableFaultInjection { get; init; }

    /// <summary>For the chances of injected faults.</summary>
    public int FaultSeed { get; init; } = 1;

    /// <summary>10 ms to 10 s.</summary>
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>A silence this much longer than usual is not held against a peer. 0 to 10 s.</summary>
    public TimeSpan HeartbeatPause { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>From this suspicion on (-log10 of the chance that a peer which is silent for so long still lives) the peer is suspect. 0.1 to 20.</summary>
    public double SuspectPhi { get; init; } = 3;

    /// <summary>From this suspicion on the peer is down. At least 0.5 above <see cref="SuspectPhi"/>, at most 100.</summary>
    public double DownPhi { get; init; } = 8;

    /// <summary>The longest that a peer which comes and goes is held down after it is heard again. 1 ms to 60 s.</summary>
    public TimeSpan MaxHoldDown { get; init; } = TimeSpan.FromSeconds(4);

    /// <summary>A follower campaigns after a silence between this and <see cref="ElectionTimeoutMax"/>. At least four heartbeat intervals.</summary>
    public TimeSpan ElectionTimeoutMin { get; init; } = TimeSpan.FromMilliseconds(400);

    public TimeSpan ElectionTimeoutMax { get; init; } = TimeSpan.FromMilliseconds(700);

    /// <summary>How far this node's wall clock may be from its peers' before it refuses puts of last-writer-wins keyspaces. 10 ms to 60 s.</summary>
    public TimeSpan MaxClockDrift { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>1 to 64.</summary>
    public int ShardLoops { get; init; } = 1;

    /// <summary>Memory for the table of objects, which is also the read cache, in bytes. At least 1 MiB.</summary>
    public long TableBytes { get; init; } = 256L * 1_048_576;

    /// <summary>Log kept before a flush is forced, in bytes. At least two segments.</summary>
    public long RetainedLogBytes { get; init; } = 1_024L * 1_048_576;

    /// <summary>Size of one segment of the log, in bytes. 1 MiB to 1 GiB.</summary>
    public long SegmentBytes { get; init; } = 64L * 1_048_576;

    /// <summary>Adaptive keyspaces: bytes of provisional writes that one replica keeps, in memory and on the disk, until they are merged; more are refused. 64 KiB to 1 GiB.</summary>
    public long OverlayBytes { get; init; } = 64L * 1_048_576;

    /// <summary>Adaptive keyspaces: while the oldest provisional write has waited this long to be merged, no more are taken. 1 s or more.</summary>
    public TimeSpan OverlayMaxAge { get; init; } = TimeSpan.FromDays(1);

    /// <summary>Recent changes that this node keeps in memory for watches, over all shards, in bytes: from so far back watches can be resumed. 0: nothing can be watched here. Else 64 KiB or more; one shard uses at most 8 MiB.</summary>
    public long WatchWindowBytes { get; init; } = 64L * 1_048_576;

    /// <summary>Watches that this node serves at a time. 1 to 1,000,000.</summary>
    public int MaxWatches { get; init; } = 20_000;

    /// <summary>With less free space than this, in bytes, writes are refused.</summary>
    public long LowSpaceBytes { get; init; } = 512L * 1_048_576;

    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    public LogFormat LogFormat { get; init; } = LogFormat.Text;

    /// <summary>In-process hosts: log here instead of to the console. The host disposes it.</summary>
    public ILoggerFactory? Loggers { get; init; }

    /// <summary>In-process hosts: another clock for what isn't Kestrel's.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;
}
