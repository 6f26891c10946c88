namespace KvStore.Client.Routing;

/// <summary>A member, as the choice of a node for the next attempt sees it.</summary>
internal interface IRoutableNode
{
    uint Node { get; }

    /// <summary>A stream stands.</summary>
    bool IsOpen { get; }

    /// <summary>How long an operation would probably wait there; only compared with other nodes'.</summary>
    double ExpectedWait { get; }

    /// <summary>A stream stands or may be opened.</summary>
    bool IsUsable(long nowMs);
}

/// <summary>All members of the moment.</summary>
internal interface IRoutableNodes
{
    ReadOnlySpan<IRoutableNode> All { get; }

    IRoutableNode? Find(uint node);
}
