namespace KvStore.Core.Policy;

/// <summary>Where a keyspace's data lives. Numbers are those of kv.proto.</summary>
public enum Durability : byte
{
    None = 0,

    /// <summary>In the log and the view of every replica.</summary>
    Disk = 1,

    /// <summary>In the memory of every replica, within a bound. What is over it is evicted; what all replicas lose at a time is gone.</summary>
    Memory = 2,
}

/// <summary>How many bytes one copy of a keyspace in memory may take, over all its shards: each gets an equal share.</summary>
public static class MemoryBound
{
    public const long DefaultBytes = 256L * 1_048_576;

    public const long MostBytes = 1L << 40;

    /// <summary>A share must have room for the largest value and its like.</summary>
    public const long LeastBytesPerShard = 2L * 1_048_576;

    /// <summary>Why a keyspace can't be so, or null when it can.</summary>
    /// <param name="durability">Where its data shall live.</param>
    /// <param name="bytes">How much of it; zero for a disk.</param>
    /// <param name="shards">Over how many shards.</param>
    /// <param name="partition">Its policy.</param>
    public static string? FaultOf(Durability durability, long bytes, int shards, PartitionChoice partition) => durability switch
    {
        Durability.Disk when bytes != 0 => "A memory bound is for keyspaces in memory: leave it out, or choose durability memory.",
        Durability.Memory when partition != PartitionChoice.Ap => "Durability memory is for ap keyspaces: a log that forgets can't keep what cp and adaptive promise. Choose ap, or durability disk.",
        Durability.Memory when bytes > MostBytes || bytes < shards * LeastBytesPerShard =>
            $"A memory bound of {bytes} bytes is out of bounds: {shards} shards need at least {LeastBytesPerShard / 1_048_576} MiB each, {shards * LeastBytesPerShard} bytes in all, and at most {MostBytes} are allowed. Give more, or fewer shards.",
        Durability.Disk or Durability.Memory => null,
        _ => "The durability is not known to this node: choose disk or memory.",
    };
}
