using KvStore.Core.Identity;

namespace KvStore.Node.Loops;

/// <summary>An operation that was forwarded to another node and is not answered yet.</summary>
internal readonly record struct Forwarded(OperationOrigin Origin, ulong CallId, NodeId Node, bool IsWrite, long DeadlineMs);

/// <summary>Forwards in flight of one loop. Ids carry the loop's number, so that results find their loop.</summary>
internal sealed class ForwardTable(int loop, int loops)
{
    /// <summary>More are refused.</summary>
    public const int MaxInFlight = 16_384;

    private readonly Dictionary<ulong, Forwarded> _inFlight = [];
    private ulong _last;

    public int Count => _inFlight.Count;

    public bool Owns(ulong forwardId) => forwardId % (ulong)loops == (ulong)loop;

    public ulong Add(in Forwarded forwarded)
    {
        ulong id = (++_last * (ulong)loops) + (ulong)loop;
        _inFlight.Add(id, forwarded);
        return id;
    }

    public bool TryTake(ulong id, out Forwarded forwarded) => _inFlight.Remove(id, out forwarded);

    /// <summary>Takes everything that was forwarded to a node whose streams broke.</summary>
    public List<Forwarded> TakeLost(NodeId node) => TakeWhere(forwarded => forwarded.Node == node);

    public List<Forwarded> TakeExpired(long nowMs) => TakeWhere(forwarded => forwarded.DeadlineMs <= nowMs);

    public List<Forwarded> TakeAll() => TakeWhere(_ => true);

    private List<Forwarded> TakeWhere(Predicate<Forwarded> wanted)
    {
        List<Forwarded> taken = [];
        foreach ((ulong id, Forwarded forwarded) in _inFlight)
        {
            if (wanted(forwarded))
            {
                taken.Add(forwarded);
                _inFlight.Remove(id);
            }
        }

        return taken;
    }
}
