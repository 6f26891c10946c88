using KvStore.Core.Identity;

namespace KvStore.Node.Catalog;

internal static partial class CatalogLog
{
    [LoggerMessage(EventId = 4001, Level = LogLevel.Information, Message = "Catalog revision {Revision}: {Keyspaces} keyspaces, {Members} members")]
    public static partial void Changed(ILogger logger, ulong revision, int keyspaces, int members);

    [LoggerMessage(EventId = 4002, Level = LogLevel.Information, Message = "Keyspace {Name} created: {Mode}, {Shards} shards of {Replicas} replicas")]
    public static partial void KeyspaceCreated(ILogger logger, string name, string mode, int shards, int replicas);

    [LoggerMessage(EventId = 4005, Level = LogLevel.Warning, Message = "Audit: keyspace {Name} was altered from {Before} to {Now}; its shards follow")]
    public static partial void KeyspaceAltered(ILogger logger, string name, string before, string now);

    [LoggerMessage(EventId = 4010, Level = LogLevel.Information, Message = "Shard {Shard}: the leadership is handed from {From} to {To}, as an operator asked")]
    public static partial void LeaderTransferred(ILogger logger, ShardId shard, NodeId from, NodeId to);

    [LoggerMessage(EventId = 4011, Level = LogLevel.Warning, Message = "Audit: keyspace {Name} with id {Id} was deleted, {Shards} shards; every node destroys its replicas as it hears of it")]
    public static partial void KeyspaceDeleted(ILogger logger, string name, uint id, int shards);

    [LoggerMessage(EventId = 4003, Level = LogLevel.Warning, Message = "{Node} is replaced by generation {Generation}: {Shards} shards get a new replica there")]
    public static partial void NodeReplaced(ILogger logger, NodeId node, uint generation, int shards);

    [LoggerMessage(EventId = 4004, Level = LogLevel.Warning, Message = "Audit: {Count} lost writes of keyspace {Name} were read and cleared from this node's journals")]
    public static partial void LostWritesCleared(ILogger logger, string name, ulong count);

    [LoggerMessage(EventId = 4012, Level = LogLevel.Error, Message = "The catalog could not be read since this node's start; it calls no keyspace unknown, and tries again")]
    public static partial void CatalogUnread(ILogger logger, Exception failure);
}
