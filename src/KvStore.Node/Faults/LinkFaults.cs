using System.Collections.Frozen;
using KvStore.Core.Identity;

namespace KvStore.Node.Faults;

/// <summary>
/// The injected faults of this node's links, by peer. Frames, bulk data and heartbeats ask it before they are written and before they are delivered. Without faults a question costs one null check.
/// They vanish with the process.
/// </summary>
/// <remarks>Safe from any thread: the table is replaced whole. Chances are drawn from one seeded source under a lock, so a run with one sender is repeatable.</remarks>
public sealed class LinkFaults(int seed)
{
    private readonly Lock _gate = new();
    private readonly Random _random = new(seed);
    private volatile FrozenDictionary<NodeId, PeerFault>? _table;

    /// <summary>Raised after each change, on the thread that made it.</summary>
    public event Action? Changed;

    /// <summary>Replaces the faults of the links to and from these peers; other links stay as they are. <see cref="PeerFault.None"/> heals a link.</summary>
    /// <exception cref="ArgumentException">A number is out of range; nothing is changed.</exception>
    public void Set(IEnumerable<KeyValuePair<NodeId, PeerFault>> faults)
    {
        List<KeyValuePair<NodeId, PeerFault>> wanted = [.. faults];
        foreach ((NodeId peer, PeerFault fault) in wanted)
        {
            if (fault.Problem() is { } problem)
            {
                throw new ArgumentException($"Link to {peer}: {problem}", nameof(faults));
            }
        }

        lock (_gate)
        {
            Dictionary<NodeId, PeerFault> next = _table is { } now ? new(now) : [];
            foreach ((NodeId peer, PeerFault fault) in wanted)
            {
                next.Remove(peer);
                if (fault != PeerFault.None)
                {
                    next.Add(peer, fault);
                }
            }

            _table = next.Count == 0 ? null : next.ToFrozenDictionary();
        }

        Changed?.Invoke();
    }

    public void Set(NodeId peer, PeerFault fault) => Set([new(peer, fault)]);

    /// <summary>Removes all faults.</summary>
    public void Heal()
    {
        lock (_gate)
        {
            _table = null;
        }

        Changed?.Invoke();
    }

    /// <summary>The links that have faults, in the order of their peers.</summary>
    public IReadOnlyList<KeyValuePair<NodeId, PeerFault>> List() => _table is { } table ? [.. table.OrderBy(pair => pair.Key)] : [];

    /// <summary>The faults of one link; <see cref="PeerFault.None"/> mostly.</summary>
    public PeerFault Of(NodeId peer) => _table is { } table && table.TryGetValue(peer, out PeerFault fault) ? fault : PeerFault.None;

    public bool CutsOutbound(NodeId peer) => Of(peer).CutOutbound;

    public bool CutsInbound(NodeId peer) => Of(peer).CutInbound;

    /// <summary>Draws what becomes of the next frame to the peer. A cut link drops every one.</summary>
    public FrameFate Draw(NodeId peer)
    {
        PeerFault fault = Of(peer);
        if (fault == PeerFault.None)
        {
            return FrameFate.Deliver;
        }

        if (fault.CutOutbound)
        {
            return FrameFate.Drop;
        }

        lock (_gate)
        {
            return Happens(fault.Drop) ? FrameFate.Drop
                : Happens(fault.Duplicate) ? FrameFate.Duplicate
                : Happens(fault.Reorder) ? FrameFate.Reorder
                : FrameFate.Deliver;
        }
    }

    private bool Happens(double chance) => chance > 0 && _random.NextDouble() < chance;
}
