using FluentAssertions;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;
using static KvStore.Core.Tests.Replicas.ReplicaCluster;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Level bounded: nothing older than stated is missing, which is measured, or the read is refused.</summary>
public class BoundedReadTests
{
    private const int TickMs = 25;

    [Theory]
    [InlineData(PartitionChoice.Cp)]
    [InlineData(PartitionChoice.Ap)]
    public void A_replica_that_misses_nothing_serves_and_says_how_sure_it_is(PartitionChoice partition)
    {
        ReplicaCluster cluster = Cluster(partition);
        Completion read = Bounded(cluster, 2, 1_000);
        TextOf(read).Should().Be("1");
        read.StalenessMs.Should().BeLessThanOrEqualTo(1_000);

        cluster.Tick(400 / TickMs);
        Bounded(cluster, 2, 1_000).StalenessMs.Should().BeInRange(400, 500, "that long ago it was confirmed, and nobody was asked again");
        Bounded(cluster, 2, 100).StalenessMs.Should().BeLessThanOrEqualTo(100, "it was asked again");
    }

    [Theory]
    [InlineData(PartitionChoice.Cp)]
    [InlineData(PartitionChoice.Ap)]
    public void A_replica_that_is_cut_off_serves_until_the_bound_and_then_refuses(PartitionChoice partition)
    {
        ReplicaCluster cluster = Cluster(partition);
        Bounded(cluster, 3, 1_000).Outcome.Should().Be(Outcome.Done);
        cluster.Cut(3);
        cluster.Put(cluster[1], "k", "2").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(500 / TickMs);
        Completion read = Bounded(cluster, 3, 1_000);
        TextOf(read).Should().Be("1");
        read.StalenessMs.Should().BeInRange(500, 1_000);

        cluster.Tick(600 / TickMs);
        Completion refused = Bounded(cluster, 3, 1_000);
        (refused.Outcome, refused.Code).Should().Be((Outcome.NotDone, RefusalCode.TooStale));
        refused.Reason.Should().Contain("n3").And.Contain("1000 ms");
        TextOf(cluster.Get(cluster[3], "k", ReadLevel.Eventual)).Should().Be("1");
        cluster.Get(cluster[3], "k", ReadLevel.Eventual).StalenessMs.Should().BeGreaterThanOrEqualTo(600);

        cluster.Heal();
        cluster.TickUntil(() => Bounded(cluster, 3, 1_000).Outcome == Outcome.Done, "it has caught up");
        TextOf(Bounded(cluster, 3, 1_000)).Should().Be("2");
    }

    [Fact]
    public void An_open_replica_waits_for_the_write_that_another_acknowledged_too_long_ago()
    {
        ReplicaCluster cluster = Cluster(PartitionChoice.Ap);
        cluster.Lost.Add(nameof(DottedMessageKind.Replicate));
        cluster.Put(cluster[1], "k", "2").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(4);
        TextOf(Bounded(cluster, 2, 50)).Should().Be("2", "the message was lost, and the question brings it to light");
    }

    [Fact]
    public void A_leader_that_can_acknowledge_early_answers_alone()
    {
        ReplicaCluster cluster = Cluster(PartitionChoice.Cp);
        var read = new ClientOperation { Kind = OperationKind.Get, Level = ReadLevel.Bounded, MaxStalenessMs = 100, Key = "k"u8.ToArray() };
        cluster[2].Replica.BetterPlaceFor(read).Should().Be(cluster[2].Replica.Descriptor.Mode.Replication == Replication.Sync ? default : cluster[1].Node);

        var early = new ReplicaCluster(3, replication: Replication.Async);
        early.Elect(1);
        early.Tick(10);
        early[2].Replica.BetterPlaceFor(read).Should().Be(early[1].Node, "only the leader knows what it has acknowledged");
    }

    private static ReplicaCluster Cluster(PartitionChoice partition)
    {
        var cluster = new ReplicaCluster(3, partition, replication: partition == PartitionChoice.Ap ? Replication.Async : Replication.Sync);
        cluster.Elect(1);
        cluster.Put(cluster[1], "k", "1").Outcome.Should().Be(Outcome.Done);
        cluster.Tick(40);
        return cluster;
    }

    private static Completion Bounded(ReplicaCluster cluster, uint node, uint maxStalenessMs) =>
        cluster.Submit(cluster[node], new ClientOperation { Kind = OperationKind.Get, Level = ReadLevel.Bounded, MaxStalenessMs = maxStalenessMs, Key = "k"u8.ToArray() });
}
