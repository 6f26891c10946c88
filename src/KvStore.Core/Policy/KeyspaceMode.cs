namespace KvStore.Core.Policy;

/// <summary>What a keyspace does when replicas can't reach each other. Numbers are those of kv.proto.</summary>
public enum PartitionChoice : byte
{
    None = 0,

    /// <summary>The side with a majority serves, the other refuses.</summary>
    Cp = 1,

    /// <summary>Every side serves; concurrent values are kept as siblings.</summary>
    Ap = 2,

    /// <summary>As cp with a majority; provisionally without (not offered yet).</summary>
    Adaptive = 3,
}

/// <summary>When a write is acknowledged. Numbers are those of kv.proto.</summary>
public enum Replication : byte
{
    None = 0,

    /// <summary>Durable on a majority.</summary>
    Sync = 1,

    /// <summary>Durable on one replica.</summary>
    Async = 2,

    /// <summary>In the memory of one replica.</summary>
    BestEffort = 3,
}

/// <summary>The two orthogonal settings of a keyspace.</summary>
public readonly record struct KeyspaceMode(PartitionChoice Partition, Replication Replication)
{
    /// <summary>Why these settings can't be combined, or null when they can.</summary>
    public string? Contradiction => this switch
    {
        { Partition: PartitionChoice.None } => "A keyspace needs a partition policy: choose cp or ap.",
        { Replication: Replication.None } => "A keyspace needs a replication: choose sync, async or best-effort.",
        { Partition: PartitionChoice.Adaptive, Replication: Replication.BestEffort } =>
            "An adaptive keyspace can't be best-effort: its provisional writes are merged through the log, so they must be on a disk first. Choose sync or async.",
        _ => null,
    };

    public override string ToString()
    {
        string replication = Replication == Replication.BestEffort ? "best-effort" : Replication.ToString().ToLowerInvariant();
        return $"{Partition.ToString().ToLowerInvariant()}/{replication}";
    }
}
