using KvStore.Core.Identity;

namespace KvStore.Node.Loops;

internal static partial class LoopLog
{
    [LoggerMessage(EventId = 3001, Level = LogLevel.Critical, Message = "Replica {Shard} on this node stops serving: {Reason}")]
    public static partial void ReplicaFenced(ILogger logger, ShardId shard, string reason);

    [LoggerMessage(EventId = 3002, Level = LogLevel.Critical, Message = "Storage has failed; this node stops serving")]
    public static partial void StorageFailed(ILogger logger, Exception? error);

    [LoggerMessage(EventId = 3003, Level = LogLevel.Critical, Message = "Shard loop {Loop} has failed; this node stops serving")]
    public static partial void LoopFailed(ILogger logger, int loop, Exception error);

    [LoggerMessage(EventId = 3004, Level = LogLevel.Information, Message = "Replica {Shard} opened: {Mode}, applied {Applied}, {Records} log records to replay")]
    public static partial void ReplicaOpened(ILogger logger, ShardId shard, string mode, ulong applied, int records);

    [LoggerMessage(EventId = 3011, Level = LogLevel.Information, Message = "Replica {Shard} is closed and its data destroyed: the keyspace was deleted")]
    public static partial void ReplicaDestroyed(ILogger logger, ShardId shard);

    [LoggerMessage(EventId = 3005, Level = LogLevel.Information, Message = "Replica {Shard}: leader is {Leader} in term {Term}")]
    public static partial void LeaderChanged(ILogger logger, ShardId shard, NodeId leader, ulong term);

    [LoggerMessage(EventId = 3007, Level = LogLevel.Critical, Message = "UNSAFE RECOVERY, replica {Shard}: its majority was given up, it goes on alone. Members were {Members}. Known to be committed up to {Settled}; taken for committed up to {Last}. What only the lost nodes had is gone")]
    public static partial void QuorumForced(ILogger logger, ShardId shard, string members, ulong settled, ulong last);

    [LoggerMessage(EventId = 3008, Level = LogLevel.Critical, Message = "UNSAFE RECOVERY, replica {Shard}: not done. Its majority was given up, but {Others} were not: start them, or give up all but one node")]
    public static partial void QuorumNotForced(ILogger logger, ShardId shard, string others);

    [LoggerMessage(EventId = 3006, Level = LogLevel.Warning, Message = "Replica {Shard}: {Count} writes that were acknowledged before their commit are lost; 'kv keyspace lost-writes' shows them")]
    public static partial void WritesLost(ILogger logger, ShardId shard, long count);

    [LoggerMessage(EventId = 3041, Level = LogLevel.Critical, Message = "Replica {Shard}: every replica of this shard in memory has restarted; what it held is lost, and it goes on with what was written since")]
    public static partial void MemoryLost(ILogger logger, ShardId shard);

    [LoggerMessage(EventId = 3020, Level = LogLevel.Warning, Message = "Replica {Shard} has no contact to a leader and serves provisionally")]
    public static partial void ServesProvisionally(ILogger logger, ShardId shard);

    [LoggerMessage(EventId = 3021, Level = LogLevel.Information, Message = "Replica {Shard} follows a leader again; what it took provisionally is merged")]
    public static partial void ServesOrdered(ILogger logger, ShardId shard);

    [LoggerMessage(
        EventId = 3010,
        Level = LogLevel.Critical,
        Message = "Replica {Shard} has seen the same writes as a peer and holds other data, in {Buckets} of 256 buckets: one of them is damaged; compare dumps, then replace the damaged one")]
    public static partial void DigestsDiffer(ILogger logger, ShardId shard, int buckets);

    [LoggerMessage(EventId = 3009, Level = LogLevel.Information, Message = "Replica {Shard}: {Regime}")]
    public static partial void RegimeChanged(ILogger logger, ShardId shard, string regime);

    [LoggerMessage(EventId = 3040, Level = LogLevel.Information, Message = "{Count} concurrent values of last-writer-wins keyspaces were dropped because others won, the last ones in replica {Shard}")]
    public static partial void LosersDropped(ILogger logger, long count, ShardId shard);
}
