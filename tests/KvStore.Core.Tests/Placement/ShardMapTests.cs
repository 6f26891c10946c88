using System.Collections.Immutable;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Placement;
using Xunit;

namespace KvStore.Core.Tests.Placement;

public sealed class ShardMapTests
{
    private static readonly ShardId Shard = new(1, 0);
    private static readonly ImmutableArray<ReplicaPlace> Places = [new(new NodeId(1), new ReplicaId(11)), new(new NodeId(2), new ReplicaId(12))];

    [Fact]
    public void A_change_makes_a_new_map_of_the_next_epoch_and_leaves_the_old_one_alone()
    {
        ShardMap next = ShardMap.Empty.With(Shard, Places);

        next.Epoch.Should().Be(ShardMap.Empty.Epoch.Next);
        next.ReplicasOf(Shard).Should().Equal(Places);
        ShardMap.Empty.ReplicasOf(Shard).Should().BeEmpty();
    }

    [Fact]
    public void Replicas_and_nodes_are_found_by_each_other()
    {
        ShardMap map = ShardMap.Empty.With(Shard, Places);

        map.NodeOf(Shard, new ReplicaId(12)).Should().Be(new NodeId(2));
        map.ReplicaOn(Shard, new NodeId(1)).Should().Be(new ReplicaId(11));
        map.NodeOf(Shard, new ReplicaId(13)).IsNone.Should().BeTrue();
        map.ReplicaOn(new ShardId(2, 0), new NodeId(1)).IsNone.Should().BeTrue();
    }

    [Fact]
    public void Two_replicas_of_a_shard_never_share_a_node()
    {
        Action twice = () => ShardMap.Empty.With(Shard, [Places[0], new(new NodeId(1), new ReplicaId(13))]);

        twice.Should().Throw<InvariantViolationException>();
    }

    [Fact]
    public void A_dropped_keyspace_takes_all_its_shards_along()
    {
        ShardMap map = ShardMap.Empty.With(Shard, Places).With(new ShardId(1, 1), Places).With(new ShardId(2, 0), Places);

        map.WithoutKeyspace(1).Shards.Should().Equal(new ShardId(2, 0));
    }
}
