using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Node.Catalog;
using Xunit;

namespace KvStore.Cluster.Tests.Members;

/// <summary>What the catalog says next while members come and go. Every step is checked by <see cref="PlanBench"/>: one replica of a shard at a time, never an id twice, never a place that is not free.</summary>
public sealed class MemberPlanTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_newcomer_gets_its_fair_share_and_nothing_else_moves(int seed)
    {
        var bench = new PlanBench(members: 3, seed, (8, 3, 3), (1, 3, 3), (8, 3, 3));
        bench.Add(4);
        bench.Settle();
        bench.CountOn(4).Should().Be(12, "of 51 replicas a quarter");
        bench.Placed.Should().Be(12, "and no replica was made that it did not get");
        ((uint[])[1, 2, 3]).Select(bench.CountOn).Should().AllBeEquivalentTo(13);
        bench.Catalog.Keyspaces.Where(keyspace => keyspace.Shards.Length == 8).Should().OnlyContain(
            keyspace => keyspace.Shards.Count(shard => shard.Any(replica => replica.Node == new NodeId(4))) >= 5, "each keyspace is spread, not only all together");
        bench.Catalog.Keyspaces.SelectMany(keyspace => keyspace.Shards).Count(shard => shard[0].Node == new NodeId(4)).Should().BePositive("who is asked first is spread as well");
    }

    [Fact]
    public void A_cluster_of_one_grows_and_its_keyspaces_get_the_replicas_that_they_want()
    {
        var bench = new PlanBench(members: 1, seed: 5, (8, 1, 3), (4, 1, 1));
        bench.Add(2);
        bench.Settle();
        bench.CountOn(2).Should().Be(8 + 2);
        bench.Add(3);
        bench.Settle();
        bench.Catalog.Keyspaces[1].Shards.Should().OnlyContain(shard => shard.Length == 3);
        bench.Catalog.Keyspaces[2].Shards.Should().OnlyContain(shard => shard.Length == 1, "that one never wanted more");
        bench.CountOn(3).Should().Be(8 + 1);
        bench.Catalog.Keyspaces[0].Shards[0].Should().HaveCount(3);
        bench.Catalog.Keyspaces[0].Founders[0].Should().ContainSingle("with whom the cluster began stays so");
    }

    [Fact]
    public void A_member_that_leaves_hands_its_shards_to_those_who_have_least_and_its_id_is_gone()
    {
        var bench = new PlanBench(members: 4, seed: 6, (12, 3, 3));
        bench.Remove(2);
        bench.Settle();
        bench.Catalog.Members.Select(member => member.Node.Value).Should().Equal(1, 3, 4);
        bench.Catalog.Removed.Should().Equal(new NodeId(2));
        ((uint[])[1, 3, 4]).Select(bench.CountOn).Should().AllBeEquivalentTo(12);
        bench.Placed.Should().Be(9, "as many as it had");
        bench.Catalog.Keyspaces[0].Shards[0].Select(replica => replica.Node.Value).Should().Equal(1, 3, 4);
        MemberChanges.FaultOfAdding(bench.Catalog, new NodeId(2), "elsewhere:7001", 1).Should().Contain("never used again");
    }

    [Fact]
    public void Where_nobody_is_left_to_take_them_replicas_are_dropped_only_by_force_and_come_back_with_the_next_member()
    {
        var bench = new PlanBench(members: 3, seed: 7, (8, 3, 3));
        MemberChanges.FaultOfRemoving(bench.Catalog, new NodeId(3), _ => true, force: false).Should().Contain("would have 2").And.Contain("--force");
        bench.Remove(3, force: true);
        bench.Settle();
        bench.Catalog.Keyspaces[1].Shards.Should().OnlyContain(shard => shard.Length == 2);
        bench.Placed.Should().Be(0);
        bench.Add(4);
        bench.Settle();
        bench.Catalog.Keyspaces[1].Shards.Should().OnlyContain(shard => shard.Length == 3);
    }

    [Fact]
    public void A_newcomer_that_never_runs_gets_nothing_and_can_be_let_go()
    {
        var bench = new PlanBench(members: 1, seed: 8, (4, 1, 3));
        bench.Kill(2);
        bench.Add(2);
        for (int i = 0; i < 100; i++)
        {
            bench.Step();
        }

        bench.CountOn(2).Should().Be(0);
        bench.Catalog.IsChanging.Should().BeTrue();
        bench.Remove(2);
        bench.Settle();
        bench.Catalog.Members.Should().ContainSingle();
        bench.Placed.Should().Be(0);
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    [InlineData(13)]
    [InlineData(14)]
    public void A_newcomer_that_dies_in_the_middle_is_let_go_and_what_it_had_is_made_anew(int seed)
    {
        var bench = new PlanBench(members: 3, seed, (16, 3, 3));
        bench.Add(4);
        while (bench.CountOn(4) < 6)
        {
            bench.Step();
        }

        bench.Kill(4);
        for (int i = 0; i < 200; i++)
        {
            bench.Step();
        }

        bench.Catalog.IsChanging.Should().BeTrue("it has not got its share");
        bench.Remove(4);
        bench.Settle();
        bench.Catalog.Keyspaces[1].Shards.Should().OnlyContain(shard => shard.Length == 3);
        bench.CountOn(1).Should().Be(16);
    }

    [Theory]
    [InlineData(21)]
    [InlineData(22)]
    public void A_dead_member_is_let_go(int seed)
    {
        var bench = new PlanBench(members: 4, seed, (8, 3, 3), (3, 3, 3));
        bench.Kill(3);
        bench.Remove(3);
        bench.Settle();
        bench.Catalog.Members.Should().HaveCount(3);
        bench.Catalog.Keyspaces.Should().OnlyContain(keyspace => keyspace.Shards.All(shard => shard.Length == 3));
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void Members_come_and_go_at_the_same_time_in_any_order(int seed)
    {
        var random = new Random(seed);
        var bench = new PlanBench(members: 3, seed, (8, 3, 3), (5, 2, 2), (3, 1, 1), (4, 3, 5));
        uint next = 4;
        for (int i = 0; i < 12; i++)
        {
            uint[] members = [.. bench.Catalog.Members.Where(member => member.State != MemberState.Leaving).Select(member => member.Node.Value)];
            if (members.Length < 6 && random.Next(2) == 0)
            {
                bench.Add(next++);
            }
            else
            {
                var chosen = new NodeId(members[random.Next(members.Length)]);
                if (MemberChanges.FaultOfRemoving(bench.Catalog, chosen, _ => true, force: true) is null)
                {
                    bench.Remove(chosen.Value, force: true);
                }
            }

            for (int step = random.Next(60); step > 0; step--)
            {
                bench.Step();
            }
        }

        bench.Settle();
        int left = bench.Catalog.Members.Length;
        bench.Catalog.Keyspaces.Skip(1).Should().OnlyContain(keyspace => keyspace.Shards.All(shard => shard.Length == Math.Min(keyspace.WantedReplicas, left)));
        bench.Catalog.Keyspaces[0].Shards[0].Select(replica => replica.Node).Should().BeEquivalentTo(bench.Catalog.Members.Select(member => member.Node));
    }

    public static TheoryData<int> Seeds => [.. Enumerable.Range(100, 40)];

    [Fact]
    public void What_can_not_be_is_refused_with_a_reason()
    {
        ClusterCatalog catalog = new PlanBench(members: 3, seed: 1, (4, 3, 3), (2, 1, 1)).Catalog;
        Add(2, "node9:7001").Should().Contain("is a member already");
        Add(9, "node2:7001").Should().Contain("is node 2's");
        Add(9, "nowhere").Should().Contain("HOST:PORT");
        MemberChanges.FaultOfAdding(catalog, new NodeId(9), "node9:7001", 0).Should().Contain("weight");
        MemberChanges.FaultOfRemoving(catalog, new NodeId(2), node => node.Value == 1, force: true).Should().Contain("only 1 can be reached");
        MemberChanges.FaultOfRemoving(catalog, new NodeId(1), node => node.Value != 1, force: true).Should().Contain("without a majority nothing can be moved", "the only replica of a shard is on it");
        MemberChanges.FaultOfRemoving(new PlanBench(members: 1, seed: 1).Catalog, new NodeId(1), _ => true, force: true).Should().Contain("the last member");

        string? Add(uint id, string address) => MemberChanges.FaultOfAdding(catalog, new NodeId(id), address, 1);
    }
}
