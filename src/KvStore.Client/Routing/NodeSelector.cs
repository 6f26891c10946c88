namespace KvStore.Client.Routing;

/// <summary>
/// Which node an attempt goes to. Operations that need the leader go to the probable one if its connection stands, else to any replica, which forwards. Operations of ap keyspaces go to the first
/// replica of the shard that can be reached: always the same one, for all clients, because blind writes through different replicas make siblings. Eventual reads of ordered keyspaces go where the
/// expected wait is shortest (peak EWMA: recent latency times queue length). When no replica is left any other member will do: nodes forward.
/// </summary>
internal static class NodeSelector
{
    public static IRoutableNode? Choose(IRoutableNodes nodes, ShardRoute shard, RouteKind kind, in TriedNodes tried, long nowMs)
    {
        if (kind == RouteKind.Leader)
        {
            IRoutableNode? leader = Usable(nodes, shard.LeaderHint, tried, nowMs);
            if (leader is { IsOpen: true })
            {
                return leader;
            }

            return FirstReplica(nodes, shard, tried, nowMs, openOnly: true) ?? leader ?? FirstReplica(nodes, shard, tried, nowMs, openOnly: false)
                ?? AnyMember(nodes, tried, nowMs);
        }

        IRoutableNode? chosen = kind == RouteKind.Nearest ? Nearest(nodes, shard, tried, nowMs) : null;
        return chosen ?? FirstReplica(nodes, shard, tried, nowMs, openOnly: true) ?? FirstReplica(nodes, shard, tried, nowMs, openOnly: false)
            ?? AnyMember(nodes, tried, nowMs);
    }

    private static IRoutableNode? Usable(IRoutableNodes nodes, uint node, in TriedNodes tried, long nowMs) =>
        node != 0 && !tried.Contains(node) && nodes.Find(node) is { } connection && connection.IsUsable(nowMs) ? connection : null;

    private static IRoutableNode? FirstReplica(IRoutableNodes nodes, ShardRoute shard, in TriedNodes tried, long nowMs, bool openOnly)
    {
        foreach (uint node in shard.Replicas)
        {
            if (Usable(nodes, node, tried, nowMs) is { } connection && (!openOnly || connection.IsOpen))
            {
                return connection;
            }
        }

        return null;
    }

    private static IRoutableNode? Nearest(IRoutableNodes nodes, ShardRoute shard, in TriedNodes tried, long nowMs)
    {
        IRoutableNode? best = null;
        foreach (uint node in shard.Replicas)
        {
            if (Usable(nodes, node, tried, nowMs) is { IsOpen: true } connection && (best is null || connection.ExpectedWait < best.ExpectedWait))
            {
                best = connection;
            }
        }

        return best;
    }

    private static IRoutableNode? AnyMember(IRoutableNodes nodes, in TriedNodes tried, long nowMs)
    {
        foreach (IRoutableNode connection in nodes.All)
        {
            if (!tried.Contains(connection.Node) && connection.IsUsable(nowMs))
            {
                return connection;
            }
        }

        return null;
    }
}

/// <summary>What an operation asks of the node it is sent to.</summary>
internal enum RouteKind
{
    /// <summary>The leader: writes and linearizable reads of ordered keyspaces.</summary>
    Leader,

    /// <summary>The shard's first replica that can be reached: everything in ap keyspaces.</summary>
    FirstReplica,

    /// <summary>The replica with the shortest expected wait: eventual reads of ordered keyspaces.</summary>
    Nearest,
}
