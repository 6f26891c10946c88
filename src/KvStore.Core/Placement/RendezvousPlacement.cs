using System.Collections.Immutable;
using KvStore.Core.Identity;

namespace KvStore.Core.Placement;

/// <summary>A node that may hold replicas. A node of weight 2 gets twice as many as one of weight 1; weight 0 drains it.</summary>
public readonly record struct WeightedNode
{
    public WeightedNode(NodeId node, double weight)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(weight);
        ArgumentOutOfRangeException.ThrowIfEqual(double.IsFinite(weight), false);
        Node = node;
        Weight = weight;
    }

    public NodeId Node { get; }

    public double Weight { get; }
}

/// <summary>
/// Weighted rendezvous hashing (Thaler and Ravishankar 1998; weights: Schindelhauer and Schomaker 2005): each node draws a score for the shard, the highest scores win.
/// When a node comes or goes, only the replicas that it wins or held move; the order of the others never changes.
/// </summary>
/// <remarks>
/// The score of a node is -weight / ln(u), u uniform in (0, 1) from a hash of shard and node. The hash is part of the contract between versions: changing it moves data.
/// </remarks>
public static class RendezvousPlacement
{
    /// <summary>
    /// The nodes for a shard's replicas, the best first, all different. Fewer than <paramref name="count"/> if there are not enough nodes of positive weight.
    /// The order of <paramref name="nodes"/> doesn't matter.
    /// </summary>
    public static ImmutableArray<NodeId> Place(ShardId shard, IReadOnlyCollection<WeightedNode> nodes, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        var scored = new List<(double Score, NodeId Node)>(nodes.Count);
        foreach (WeightedNode node in nodes)
        {
            if (node.Weight > 0)
            {
                scored.Add((Score(shard, node), node.Node));
            }
        }

        // Equal scores are all but impossible; the id settles them the same way everywhere.
        scored.Sort((a, b) => a.Score != b.Score ? b.Score.CompareTo(a.Score) : a.Node.CompareTo(b.Node));
        ImmutableArray<NodeId>.Builder chosen = ImmutableArray.CreateBuilder<NodeId>(Math.Min(count, scored.Count));
        foreach ((_, NodeId node) in scored)
        {
            if (chosen.Count == count)
            {
                break;
            }

            if (!chosen.Contains(node))
            {
                chosen.Add(node);
            }
        }

        return chosen.DrainToImmutable();
    }

    /// <summary>64 bits, each of which depends on every bit of shard and node: two rounds of the SplitMix64 finaliser. Stable for ever.</summary>
    internal static ulong Hash(ShardId shard, NodeId node) => Mix(Mix(shard.Packed + 0x9E37_79B9_7F4A_7C15) ^ (node.Value * 0xD6E8_FEB8_6659_FD93));

    private static double Score(ShardId shard, WeightedNode node)
    {
        // 53 bits, moved off zero by half a step: u lies strictly between 0 and 1.
        double u = ((Hash(shard, node.Node) >> 11) + 0.5) / (1ul << 53);
        return -node.Weight / Math.Log(u);
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9;
        z = (z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB;
        return z ^ (z >> 31);
    }
}
