using FluentAssertions;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Scenario 56 in both regimes: counters, retries, restarts.</summary>
public sealed class OpenCounterTests
{
    [Fact]
    public void Increments_on_both_sides_of_a_cut_all_count()
    {
        ReplicaCluster cluster = Open();
        cluster.Increment(cluster[1], "c", 5).Counter.Should().Be(5);
        cluster.Cut(3);
        cluster.Tick(60);
        cluster.Increment(cluster[1], "c", 10);
        cluster.Increment(cluster[2], "c", 20);
        cluster.Increment(cluster[3], "c", -3).Counter.Should().Be(2, "as far as this side knows");
        cluster.Heal();
        cluster.Wait(3_000);
        foreach (uint node in (uint[])[1, 2, 3])
        {
            Completion read = cluster.Get(cluster[node], "c", ReadLevel.Eventual);
            TextOf(read).Should().Be("32");
            read.Siblings.Should().BeNull("totals of several replicas are one value");
        }

        cluster.Scan(cluster[2]).Items![0].SiblingCount.Should().Be(1);
    }

    [Fact]
    public void A_retry_counts_once_at_the_same_replica_and_at_one_that_has_got_the_first_attempt()
    {
        ReplicaCluster cluster = Open();
        cluster.Increment(cluster[1], "c", 5, sequence: 1).Counter.Should().Be(5);
        cluster.Increment(cluster[1], "c", 5, sequence: 1, mayHaveHappened: true).Counter.Should().Be(5);
        Completion elsewhere = cluster.Increment(cluster[2], "c", 5, sequence: 1, mayHaveHappened: true);
        (elsewhere.Outcome, elsewhere.Counter, elsewhere.Degraded).Should().Be((Outcome.Done, 5L, true), "one copy is all that this replica knows of");
        cluster.Increment(cluster[2], "c", 5, sequence: 1).Counter.Should().Be(5, "whether or not it says that it is a retry");
        TextOf(cluster.Get(cluster[3], "c", ReadLevel.Quorum)).Should().Be("5");
    }

    [Fact]
    public void A_retry_of_which_a_replica_can_t_tell_is_unknown_and_not_counted_again()
    {
        ReplicaCluster cluster = Open();
        cluster.Cut(1);
        cluster.Tick(60);
        cluster.Increment(cluster[1], "c", 5, sequence: 1).Outcome.Should().Be(Outcome.Done);
        Completion retry = cluster.Increment(cluster[2], "c", 5, sequence: 1, mayHaveHappened: true);
        (retry.Outcome, retry.Code).Should().Be((Outcome.Unknown, RefusalCode.RequestExpired));
        cluster.Heal();
        cluster.Wait(3_000);
        TextOf(cluster.Get(cluster[2], "c", ReadLevel.Eventual)).Should().Be("5");
        cluster.Increment(cluster[2], "c", 5, sequence: 1, mayHaveHappened: true).Outcome.Should().Be(Outcome.Done, "now it can tell");
    }

    [Fact]
    public void After_a_restart_the_coordinator_still_knows_the_last_requests_of_a_counter()
    {
        ReplicaCluster cluster = Open();
        cluster.Increment(cluster[1], "c", 5, sequence: 1);
        Restart(cluster, 1);
        cluster.Increment(cluster[1], "c", 5, sequence: 1).Counter.Should().Be(5);
    }

    [Fact]
    public void A_replica_carries_its_own_total_over_after_each_restart_so_that_a_counter_keeps_one_for_each_replica()
    {
        ReplicaCluster cluster = Open();
        for (int round = 1; round <= 6; round++)
        {
            foreach (uint node in (uint[])[1, 2, 3])
            {
                cluster.Increment(cluster[node], "c").Outcome.Should().Be(Outcome.Done);
            }

            Restart(cluster, (uint)(round % 3) + 1);
        }

        foreach (uint node in (uint[])[1, 2, 3])
        {
            cluster.Increment(cluster[node], "c");
        }

        cluster.Wait(3_000);
        TextOf(cluster.Get(cluster[1], "c", ReadLevel.Eventual)).Should().Be("21");
        cluster[1].Totals("c").Should().Be(3);
    }

    [Fact]
    public void While_a_peer_is_silent_a_replica_carries_nothing_over_and_the_sum_is_right_all_the_same()
    {
        ReplicaCluster cluster = Open();
        cluster.Increment(cluster[1], "c");
        cluster.Cut(3);
        Restart(cluster, 1);
        cluster.Increment(cluster[1], "c");
        cluster[1].Totals("c").Should().Be(2, "replica 3 may know something of the earlier life that is missing here");
        cluster.Heal();
        cluster.Wait(3_000);
        cluster.Increment(cluster[1], "c").Counter.Should().Be(3);
        cluster[1].Totals("c").Should().Be(1);
    }

    [Fact]
    public void A_total_that_a_power_loss_takes_back_was_known_to_nobody()
    {
        ReplicaCluster cluster = Open();
        cluster.Increment(cluster[1], "c", 5);

        // Nothing runs after the submission but the replica's own turn: the disk has not synced.
        cluster.SubmitOnly(cluster[1], IncrementOf("c", 100));
        cluster[1].LosePower();
        cluster[1].Start();
        cluster.Wait(3_000);
        cluster.Increment(cluster[1], "c", 1).Counter.Should().BeOneOf(6L, 106L);
        long sum = long.Parse(TextOf(cluster.Get(cluster[1], "c", ReadLevel.Eventual)), System.Globalization.CultureInfo.InvariantCulture);
        cluster.Wait(2_000);
        TextOf(cluster.Get(cluster[3], "c", ReadLevel.Eventual)).Should().Be($"{sum}", "what was carried over is what everybody knows");
    }

    [Fact]
    public void A_value_that_is_no_counter_is_refused_and_a_put_replaces_a_counter()
    {
        ReplicaCluster cluster = Open();
        cluster.Put(cluster[1], "k", "text");
        Completion refused = cluster.Increment(cluster[2], "k");
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.WrongType));
        cluster.Increment(cluster[1], "c", 7);
        cluster.Put(cluster[2], "c", "text");
        cluster.Tick(20);
        TextOf(cluster.Get(cluster[3], "c", ReadLevel.Quorum)).Should().Be("text");
    }

    [Fact]
    public void In_an_ordered_shard_a_counter_is_exact_and_a_retry_at_a_new_leader_has_the_first_result()
    {
        var cluster = new ReplicaCluster(3);
        cluster.Elect(1);
        cluster.Increment(cluster[1], "c", 5, sequence: 1).Counter.Should().Be(5);
        cluster.Increment(cluster[1], "c", 2, sequence: 2).Counter.Should().Be(7);
        cluster.HandOver(2);
        cluster.Increment(cluster[2], "c", 5, sequence: 1, mayHaveHappened: true).Counter.Should().Be(5);
        Completion read = cluster.Get(cluster[2], "c");
        TextOf(read).Should().Be("7");
    }

    private static void Restart(ReplicaCluster cluster, uint node)
    {
        cluster[node].LosePower();
        cluster[node].Start();
        cluster.Wait(3_000);
    }

    private static ReplicaCluster Open()
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap);
        cluster.Elect(1);
        cluster.Tick(60);
        return cluster;
    }
}
