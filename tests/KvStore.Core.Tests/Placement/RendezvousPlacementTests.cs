using System.Collections.Immutable;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Placement;
using Xunit;

namespace KvStore.Core.Tests.Placement;

public sealed class RendezvousPlacementTests
{
    private const int Shards = 4_000;
    private const ulong HashOfFirst = 16785006753071639542;
    private const string PlacedInAllVersions = "n3n1n4 n1n5n2 n3n5n2 n4n5n1 n3n2n4 n5n3n2 n2n5n3 n2n5n3";

    [Fact]
    public void Replicas_are_different_nodes_and_as_many_as_there_are()
    {
        foreach (ImmutableArray<NodeId> places in PlaceAll(Nodes(5, weight: 1), 3))
        {
            places.Should().HaveCount(3).And.OnlyHaveUniqueItems();
        }

        RendezvousPlacement.Place(new ShardId(1, 0), Nodes(2, weight: 1), 3).Should().HaveCount(2);
    }

    [Fact]
    public void The_order_of_the_nodes_does_not_matter()
    {
        WeightedNode[] nodes = Nodes(7, weight: 1);
        ImmutableArray<NodeId>[] forwards = PlaceAll(nodes, 3);
        Array.Reverse(nodes);

        PlaceAll(nodes, 3).Should().BeEquivalentTo(forwards, options => options.WithStrictOrdering());
    }

    /// <summary>If this fails, data moves on an upgrade: the hash must not change.</summary>
    [Fact]
    public void The_placement_of_these_shards_is_the_same_in_every_version()
    {
        RendezvousPlacement.Hash(new ShardId(0, 0), new NodeId(1)).Should().Be(HashOfFirst);
        string placed = string.Join(' ', Enumerable.Range(0, 8).Select(i => string.Concat(RendezvousPlacement.Place(new ShardId(7, i), Nodes(5, 1), 3))));
        placed.Should().Be(PlacedInAllVersions);
    }

    [Theory]
    [InlineData(3, 1)]
    [InlineData(5, 3)]
    [InlineData(16, 3)]
    public void Equal_nodes_get_equal_shares(int nodes, int count)
    {
        Dictionary<NodeId, int> shares = Shares(PlaceAll(Nodes(nodes, weight: 1), count));

        double fair = (double)Shards * count / nodes;
        shares.Values.Should().OnlyContain(share => Math.Abs(share - fair) < fair * 0.15);
    }

    [Fact]
    public void A_node_of_double_weight_gets_double_the_first_places()
    {
        WeightedNode[] nodes = [new(new NodeId(1), 2), new(new NodeId(2), 1), new(new NodeId(3), 1)];

        Dictionary<NodeId, int> shares = Shares(PlaceAll(nodes, 1));

        shares[new NodeId(1)].Should().BeInRange((int)(Shards * 0.46), (int)(Shards * 0.54));
    }

    [Fact]
    public void A_node_of_weight_zero_gets_nothing()
    {
        WeightedNode[] nodes = [new(new NodeId(1), 0), new(new NodeId(2), 1)];

        Shares(PlaceAll(nodes, 2)).Keys.Should().Equal(new NodeId(2));
    }

    [Fact]
    public void A_node_that_leaves_moves_only_its_own_replicas()
    {
        ImmutableArray<NodeId>[] before = PlaceAll(Nodes(6, weight: 1), 3);
        ImmutableArray<NodeId>[] after = PlaceAll(Nodes(5, weight: 1), 3);

        var gone = new NodeId(6);
        for (int i = 0; i < Shards; i++)
        {
            after[i].Intersect(before[i]).Should().Equal(before[i].Where(node => node != gone));
        }
    }

    [Fact]
    public void A_weight_that_grows_moves_replicas_to_that_node_only()
    {
        WeightedNode[] nodes = Nodes(5, weight: 1);
        ImmutableArray<NodeId>[] before = PlaceAll(nodes, 3);
        nodes[2] = new WeightedNode(nodes[2].Node, 1.5);
        ImmutableArray<NodeId>[] after = PlaceAll(nodes, 3);

        for (int i = 0; i < Shards; i++)
        {
            after[i].Except(before[i]).Should().BeSubsetOf([nodes[2].Node]);
        }
    }

    private static WeightedNode[] Nodes(int count, double weight) => [.. Enumerable.Range(1, count).Select(i => new WeightedNode(new NodeId((uint)i), weight))];

    private static ImmutableArray<NodeId>[] PlaceAll(WeightedNode[] nodes, int count) =>
        [.. Enumerable.Range(0, Shards).Select(i => RendezvousPlacement.Place(new ShardId((uint)(i / 16) + 1, i % 16), nodes, count))];

    private static Dictionary<NodeId, int> Shares(ImmutableArray<NodeId>[] placed) =>
        placed.SelectMany(places => places).GroupBy(node => node).ToDictionary(group => group.Key, group => group.Count());
}
