using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

/// <summary>How far peers are behind, in writes and in time.</summary>
public class PeerLagTests
{
    private const int TickMs = 25;

    [Theory]
    [InlineData(PartitionChoice.Cp)]
    [InlineData(PartitionChoice.Ap)]
    public void A_peer_that_is_away_lags_by_what_was_written_meanwhile_for_as_long_as_that_is(PartitionChoice partition)
    {
        var cluster = new ReplicaCluster(3, partition, replication: partition == PartitionChoice.Ap ? Core.Policy.Replication.Async : Core.Policy.Replication.Sync);
        cluster.Elect(1);
        cluster.Put(cluster[1], "k", "1").Outcome.Should().Be(Outcome.Done);
        cluster.TickUntil(() => Lag(cluster, 3).Missing == 0, "all have everything");
        cluster.Cut(3);
        for (int i = 0; i < 5; i++)
        {
            cluster.Put(cluster[1], "k", "2").Outcome.Should().Be(Outcome.Done);
        }

        cluster.Tick(2_000 / TickMs);
        Lag(cluster, 3).Missing.Should().Be(5);
        Lag(cluster, 3).ForMs.Should().BeInRange(1_500, 2_500);
        Lag(cluster, 2).Missing.Should().Be(0);

        cluster.Heal();
        cluster.TickUntil(() => Lag(cluster, 3) == new PeerLag(new NodeId(3), 0, 0), "it has caught up");
    }

    [Fact]
    public void Under_steady_writes_the_time_stays_that_of_one_message()
    {
        var cluster = new ReplicaCluster(3, PartitionChoice.Ap, replication: Core.Policy.Replication.Async);
        cluster.Elect(1);
        for (int i = 0; i < 120; i++)
        {
            cluster.Put(cluster[1], "k", "v");
            cluster.Tick();
        }

        Lag(cluster, 2).ForMs.Should().BeLessThan(1_200, "three seconds of writes, and adverts every half second");
    }

    private static PeerLag Lag(ReplicaCluster cluster, uint node) => cluster[1].Replica.DescribeLags().Single(lag => lag.Node == new NodeId(node));
}
