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

    [LoggerMessage(EventId = 4013, Level = LogLevel.Warning, Message = "Audit: {Node} at {Address} is a member from now on; start it, and it gets its share of the shards")]
    public static partial void MemberAdded(ILogger logger, NodeId node, string address);

    [LoggerMessage(EventId = 4014, Level = LogLevel.Warning, Message = "Audit: {Node} is to leave; its {Shards} shards go to other members, then it is gone")]
    public static partial void MemberLeaves(ILogger logger, NodeId node, int shards);

    [LoggerMessage(EventId = 4015, Level = LogLevel.Warning, Message = "{Node} has joined: it has its share of the shards")]
    public static partial void MemberSettled(ILogger logger, NodeId node);

    [LoggerMessage(EventId = 4016, Level = LogLevel.Warning, Message = "{Node} was removed and is no member any more; its id is never used again")]
    public static partial void MemberGone(ILogger logger, NodeId node);

    [LoggerMessage(EventId = 4017, Level = LogLevel.Information, Message = "The members of {Shards} shards are being changed, catalog revision {Revision}")]
    public static partial void MembersMove(ILogger logger, int shards, ulong revision);

    [LoggerMessage(EventId = 4018, Level = LogLevel.Information, Message = "Shard {Shard}: the replica {Replica} has moved away, and what is left of it here is destroyed")]
    public static partial void ReplicaMovedAway(ILogger logger, ShardId shard, ReplicaId replica);

    [LoggerMessage(EventId = 4019, Level = LogLevel.Error, Message = "A replica could not be moved in or out")]
    public static partial void ReplicaNotMoved(ILogger logger, Exception failure);

    [LoggerMessage(EventId = 4020, Level = LogLevel.Critical, Message = "This node was removed from the cluster: it serves nothing any more, votes for nobody, and must not be started again. Stop it and delete its data directory")]
    public static partial void Removed(ILogger logger);

    [LoggerMessage(EventId = 4021, Level = LogLevel.Information, Message = "Members as of revision {Revision}, as {Peer} tells: {Members}")]
    public static partial void MembersHeard(ILogger logger, ulong revision, string peer, string members);

    [LoggerMessage(EventId = 4022, Level = LogLevel.Warning, Message = "Members come and go, and the next step could not be taken; it is tried again")]
    public static partial void MemberStepFailed(ILogger logger, Exception failure);

    [LoggerMessage(EventId = 4023, Level = LogLevel.Error, Message = "The members could not be kept in the data directory; it is tried again when they change")]
    public static partial void MembersUnkept(ILogger logger, Exception failure);

    [LoggerMessage(EventId = 4024, Level = LogLevel.Error, Message = "The other members could not be asked who the members are, for an unexpected reason; they are asked again at the next doubt")]
    public static partial void MembersNotAsked(ILogger logger, Exception failure);

    [LoggerMessage(EventId = 4012, Level = LogLevel.Error, Message = "The catalog could not be read since this node's start; it calls no keyspace unknown, and tries again")]
    public static partial void CatalogUnread(ILogger logger, Exception failure);
}
