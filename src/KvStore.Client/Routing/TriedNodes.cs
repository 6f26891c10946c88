using System.Runtime.CompilerServices;

namespace KvStore.Client.Routing;

/// <summary>
/// The nodes that one operation has tried in the current round, so that the next attempt goes elsewhere. Holds 16, more than a shard has replicas; beyond that it forgets the oldest, which only costs
/// another try.
/// </summary>
internal struct TriedNodes
{
    private Nodes _nodes;
    private int _count;

    public readonly int Count => _count;

    public readonly bool Contains(uint node)
    {
        int held = Math.Min(_count, Nodes.Length);
        for (int i = 0; i < held; i++)
        {
            if (_nodes[i] == node)
            {
                return true;
            }
        }

        return false;
    }

    public void Add(uint node)
    {
        if (!Contains(node))
        {
            _nodes[_count % Nodes.Length] = node;
            _count++;
        }
    }

    public void Clear() => _count = 0;

    [InlineArray(Length)]
    private struct Nodes
    {
        public const int Length = 16;
        private uint _first;
    }
}
