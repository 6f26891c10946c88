namespace KvStore.Client.Routing;

/// <summary>
/// Which node an attempt goes to. Operations that need the leader go to the probable one if its connection stands, else to any replica, which forwards. Operations of ap keyspaces go to the first
/// replica of the shard that can be reached: always the same one, for all clients, because blind writes through different replicas make siblings. Reads that any replica may answer go to the better of two replicas drawn at
/// random, by the expected wait (peak EWMA: recent latency times queue length): always the best one of all would send every client to the same node at the same time. When no replica is left any other member will do: nodes forward.
/// </summary>
internal static class NodeSelector
{
    public static IRoutableNode? Choose(IRoutableNodes nodes, ShardRoute shard, RouteKind kind, in TriedNodes tried, long nowMs, Random random)
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

        IRoutableNode? chosen = kind == RouteKind.Nearest ? Nearest(nodes, shard, tried, nowMs, random) : null;
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

    /// <summary>The better of two (Mitzenmacher, "The power of two choices in randomized load balancing", 2001).</summary>
    private static IRoutableNode? Nearest(IRoutableNodes nodes, ShardRoute shard, in TriedNodes tried, long nowMs, Random random)
    {
        // Two of those that can be asked, each pair as likely as any other: reservoir sampling, without a list.
        IRoutableNode? first = null, second = null;
        int seen = 0;
        foreach (uint node in shard.Replicas)
        {
            if (Usable(nodes, node, tried, nowMs) is not { IsOpen: true } connection)
            {
                continue;
            }

            switch (seen++ < 2 ? seen - 1 : random.Next(seen))
            {
                case 0:
                    first = connection;
                    break;
                case 1:
                    second = connection;
                    break;
                default:
                    break;
            }
        }

        return second is null || first!.ExpectedWait < second.ExpectedWait || (first.ExpectedWait.Equals(second.ExpectedWait) && random.Next(2) == 0) ? first : second;
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

    /// <summary>The shard's first replica that can be reached: in ap keyspaces what is not said to be for any replica.</summary>
    FirstReplica,

    /// <summary>The better of two replicas: reads that any replica may answer.</summary>
    Nearest,
}
