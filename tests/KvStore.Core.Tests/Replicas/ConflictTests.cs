using System.Text;
using FluentAssertions;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Keys with several values in whole replicas: what is shown, listed, dropped, and by whom.</summary>
public class ConflictTests
{
    [Fact]
    public void Last_writer_wins_shows_the_newest_and_counts_the_others_until_they_are_dropped_everywhere()
    {
        ReplicaCluster cluster = InConflict(ConflictRule.LastWriterWins, keys: 1);
        Completion hidden = cluster.Get(cluster[3], "k0", ReadLevel.Quorum);
        TextOf(hidden).Should().Be("of 2");
        hidden.Siblings.Should().BeNull();
        hidden.HiddenLosers.Should().Be(1);

        cluster.TickUntil(() => Dropped(cluster) > 0, "the loser is dropped");
        cluster.Tick(60);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            Completion read = cluster.Get(cluster[node], "k0");
            (TextOf(read), read.HiddenLosers).Should().Be(("of 2", 0));
            Listed(cluster, node).Should().BeEmpty();
        }

        cluster.TickUntil(() => cluster[1].Status.PeerLag == 0, "everybody has the dots of the sweep");
    }

    [Fact]
    public void One_replica_drops_losers_and_another_takes_over_when_it_is_gone()
    {
        ReplicaCluster cluster = InConflict(ConflictRule.LastWriterWins, keys: 40);
        cluster.TickUntil(() => Dropped(cluster) == 40, "all losers are dropped, once");
        cluster.Tick(100);
        (cluster[1].Replica.LosersDropped, Dropped(cluster)).Should().Be((40, 40));

        Collide(cluster, "again");
        cluster.Cut(1);
        cluster.TickUntil(() => cluster[2].Replica.LosersDropped == 1, "the next in order takes over");
        cluster[3].Replica.LosersDropped.Should().Be(0);
    }

    [Fact]
    public void What_waits_to_be_dropped_is_found_again_after_a_restart()
    {
        ReplicaCluster cluster = InConflict(ConflictRule.LastWriterWins, keys: 3, new ReplicaOptions { SweepGraceMs = 60_000, SealTicks = 4 });
        cluster.Tick(20);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster[node].LosePower();
            cluster[node].Start();
        }

        cluster.Settle();
        Listed(cluster, 2).Should().Equal("k0:2", "k1:2", "k2:2");
        cluster.TickUntilLed();
        cluster.Tick(2_500);
        Dropped(cluster).Should().Be(3);
        Listed(cluster, 2).Should().BeEmpty();
    }

    [Fact]
    public void Nobody_is_refused_for_losers_that_nobody_sees()
    {
        ReplicaCluster cluster = new(1, PartitionChoice.Ap, new ReplicaOptions { SweepGraceMs = 60_000 }, conflicts: ConflictRule.LastWriterWins);
        cluster.Elect(1);
        for (int i = 0; i < 200; i++)
        {
            PutUnseen(cluster, cluster[1], "k", $"{i}").Outcome.Should().Be(Outcome.Done);
        }

        TextOf(cluster.Get(cluster[1], "k")).Should().Be("199");
    }

    [Fact]
    public void Scenario_55_a_node_whose_clock_is_off_takes_no_put_where_timestamps_decide_and_says_by_how_much()
    {
        ReplicaCluster cluster = InConflict(ConflictRule.LastWriterWins, keys: 1);
        cluster.SetClockOffset(3_600_000);
        Completion refused = cluster.Put(cluster[1], "k0", "from the future");
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.ClockSkew));
        refused.Reason.Should().Contain("3600000 ms ahead").And.Contain("500 ms");
        cluster.SetClockOffset(-501);
        cluster.Put(cluster[1], "k0", "from the past").Reason.Should().Contain("501 ms behind");
        cluster.Submit(cluster[1], new ClientOperation { Kind = OperationKind.Delete, Key = "k0"u8.ToArray() }).Outcome.Should().Be(Outcome.Done, "a delete has no timestamp");
        cluster.SetClockOffset(500);
        cluster.Put(cluster[1], "k0", "near enough").Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void Where_siblings_are_kept_timestamps_decide_nothing_and_no_put_is_refused_for_a_clock()
    {
        ReplicaCluster cluster = InConflict(ConflictRule.Siblings, keys: 1);
        cluster.SetClockOffset(3_600_000);
        cluster.Put(cluster[1], "k0", "v").Outcome.Should().Be(Outcome.Done);
    }

    [Fact]
    public void Conflicts_are_listed_page_by_page_and_gone_from_the_list_when_they_are_settled()
    {
        ReplicaCluster cluster = InConflict(ConflictRule.Siblings, keys: 5);
        Listed(cluster, 1).Should().Equal("k0:2", "k1:2", "k2:2", "k3:2", "k4:2");
        Completion page = List(cluster, 1, "", after: "k1", limit: 2);
        page.Items!.Select(item => Encoding.UTF8.GetString(item.Key.Span)).Should().Equal("k2", "k3");
        page.More.Should().BeTrue();

        Completion seen = cluster.Get(cluster[1], "k0");
        seen.Siblings.Should().HaveCount(2).And.OnlyHaveUniqueItems(sibling => sibling.Dot);
        cluster.Submit(cluster[1], new ClientOperation { Kind = OperationKind.Put, Condition = WriteCondition.InContext, Version = seen.Version, Key = "k0"u8.ToArray(), Value = "settled"u8.ToArray() })
            .Outcome.Should().Be(Outcome.Done);
        cluster.Submit(cluster[1], new ClientOperation { Kind = OperationKind.Delete, Key = "k3"u8.ToArray() }).Outcome.Should().Be(Outcome.Done);
        cluster.Tick(60);
        Listed(cluster, 3).Should().Equal("k1:2", "k2:2", "k4:2");
    }

    [Fact]
    public void A_list_of_conflicts_survives_a_loss_of_power_wherever_the_last_seal_was()
    {
        for (int ticks = 0; ticks < 12; ticks++)
        {
            ReplicaCluster cluster = InConflict(ConflictRule.Siblings, keys: 2, new ReplicaOptions { SealTicks = 4 });
            cluster.Tick(ticks);
            cluster.Put(cluster[2], "k0", "settled");
            cluster[2].LosePower();
            cluster[2].Start();
            cluster.Settle();
            Listed(cluster, 2).Should().Equal(["k1:2"], $"after {ticks} ticks");
        }
    }

    [Fact]
    public void A_cp_keyspace_has_no_conflicts()
    {
        ReplicaCluster cluster = new(1);
        cluster.Elect(1);
        cluster.Put(cluster[1], "k", "v");
        List(cluster, 1, "", "", 10).Items.Should().BeEmpty();
    }

    private static ReplicaCluster InConflict(ConflictRule rule, int keys, ReplicaOptions? options = null)
    {
        ReplicaCluster cluster = new(3, PartitionChoice.Ap, options, conflicts: rule);
        cluster.Elect(1);
        cluster.Tick(60);
        Collide(cluster, [.. Enumerable.Range(0, keys).Select(i => $"k{i}")]);
        return cluster;
    }

    /// <summary>Replicas 1 and 2 take a write to each key without knowing of the other's.</summary>
    private static void Collide(ReplicaCluster cluster, params string[] keys)
    {
        foreach (string key in keys)
        {
            cluster.Lost.Add("Replicate");
            cluster.SubmitOnly(cluster[1], Put(key, "of 1"));
            cluster.PassTime(1);
            cluster.SubmitOnly(cluster[2], Put(key, "of 2"));
            cluster.Settle();
            cluster.Lost.Clear();
        }

        foreach (string key in keys)
        {
            cluster.TickUntil(() => cluster.Get(cluster[3], key, ReadLevel.Quorum) is { } read && (read.Siblings?.Count == 2 || read.HiddenLosers == 1 || Dropped(cluster) > 0), "both are known");
        }
    }

    private static ClientOperation Put(string key, string value) => new() { Kind = OperationKind.Put, Key = Encoding.UTF8.GetBytes(key), Value = Encoding.UTF8.GetBytes(value) };

    private static Completion PutUnseen(ReplicaCluster cluster, ReplicaMachine at, string key, string value)
    {
        ClientOperation put = Put(key, value);
        put.Condition = WriteCondition.InContext;
        return cluster.Submit(at, put);
    }

    private static long Dropped(ReplicaCluster cluster) => ((uint[])[1, 2, 3]).Sum(node => cluster[node].Replica.LosersDropped);

    private static List<string> Listed(ReplicaCluster cluster, uint node) =>
        [.. List(cluster, node, "", "", 1_000).Items!.Select(item => $"{Encoding.UTF8.GetString(item.Key.Span)}:{item.SiblingCount}")];

    private static Completion List(ReplicaCluster cluster, uint node, string prefix, string after, int limit) => cluster.Submit(cluster[node], new ClientOperation
    {
        Kind = OperationKind.Scan,
        OnlyConflicts = true,
        Level = ReadLevel.Eventual,
        Key = Encoding.UTF8.GetBytes(prefix),
        After = Encoding.UTF8.GetBytes(after),
        Limit = limit,
    });
}
