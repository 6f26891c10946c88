using Microsoft.Extensions.Logging;

namespace KvStore.Client.Connections;

/// <summary>What the client logs. Event ids are stable.</summary>
internal static partial class ClientLog
{
    [LoggerMessage(EventId = 7001, Level = LogLevel.Information, Message = "Stream to node {Node} at {Address} ended (it had been connected: {Stood}): {Cause}")]
    public static partial void StreamBroken(ILogger logger, uint node, Uri address, bool stood, string? cause);

    [LoggerMessage(EventId = 7002, Level = LogLevel.Information, Message = "Topology revision {Revision} of cluster {ClusterId} from node {Node}: {Members} members, {Keyspaces} keyspaces")]
    public static partial void TopologyLearnt(ILogger logger, ulong revision, string clusterId, uint node, int members, int keyspaces);

    [LoggerMessage(EventId = 7003, Level = LogLevel.Information, Message = "No topology from {Address}: {Cause}")]
    public static partial void TopologyLost(ILogger logger, Uri address, string cause);

    [LoggerMessage(EventId = 7004, Level = LogLevel.Warning, Message = "{Address} belongs to cluster {Other}, not to {ClusterId}, and is ignored")]
    public static partial void ForeignCluster(ILogger logger, Uri address, string other, string clusterId);
}
